"""Money as whole micro-dollars (1 USD = 1_000_000): no floats, no rounding drift."""

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation

MICRO = 1_000_000
MAX_USD = 1_000_000_000


def parse_usd(value: object) -> int:
    """Micro-dollars of a JSON number or decimal text. Raises ValueError with the reason."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError("must be a number of US dollars")
    text = str(value)
    try:
        if not text.isascii() or "_" in text:
            raise InvalidOperation
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError("must be a number of US dollars, for example 5.0") from None
    if not amount.is_finite():
        raise ValueError("must be a finite number of US dollars")
    if abs(amount) > MAX_USD:
        raise ValueError(f"must be at most {MAX_USD} US dollars")
    return int((amount * MICRO).to_integral_value(ROUND_HALF_UP))


def usd(micro: int) -> str:
    """Decimal text of an amount, six places: 1_250_000 is "1.250000"."""
    sign = "-" if micro < 0 else ""
    whole, rest = divmod(abs(micro), MICRO)
    return f"{sign}{whole}.{rest:06d}"


def usd_short(micro: int) -> str:
    """Text for people: cents, and below a cent the two digits that matter: $1.20, $0.0019."""
    size = -micro if micro < 0 else micro
    if size >= 9950:
        cents = (size + 5000) // 10_000
        text = f"{cents // 100}.{cents % 100:02d}"
    elif size:
        step = 100 if size >= 1000 else 10 if size >= 100 else 1
        text = f"0.{(size + step // 2) // step * step:06d}".rstrip("0")
    else:
        text = "0"
    return f"-${text}" if micro < 0 else f"${text}"
