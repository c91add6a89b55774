"""Reading CTs and label maps, the store of prepared CTs, datalists, sub-volumes, and phantoms."""
