"""What is judged: a process, a file, a program, outputs computed elsewhere."""
