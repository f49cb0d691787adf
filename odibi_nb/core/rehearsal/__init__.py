"""One transformation opened to look at and to try, with tables that keep its writes to themselves."""
