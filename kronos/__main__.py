from kronos.cli.start import main

main()
