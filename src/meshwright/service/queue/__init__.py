"""How workers learn of new jobs. The table is the truth, a queue is a doorbell: it may ring twice, or not at all."""
