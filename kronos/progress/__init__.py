"""How far a long piece of work is: a bar on a terminal, a log line now and then elsewhere."""
