"""What is said of planted things: how many of them were found, and how much beside them."""


def told(planted: int, found: int, wrong: int) -> str:
    """As "planted: 97 % of 128 found, none wrongly". Percents are rounded down."""
    share = f"{100 * found // planted} % of {planted} found" if planted else "nothing to find"
    return f"planted: {share}, {wrong or 'none'} wrongly"
