"""`modelmuxer up`: the stores and the five services of one machine, as child processes."""
