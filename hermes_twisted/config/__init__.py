"""What an operator may decide: the kit that options are made of, and parsers for their values."""
