from kronos.cli.main import main

main()
