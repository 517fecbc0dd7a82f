"""The key formats of vendors. Each pattern begins with at least three literal characters."""

B62 = "[A-Za-z0-9]"
URL64 = "[A-Za-z0-9_-]"
END = r"(?![A-Za-z0-9_-])"
END62 = "(?![A-Za-z0-9])"

VENDORS: tuple[tuple[str, str], ...] = (
    ("AWS", r"AKIA[A-Z2-7]{16}" + END62),
    ("AWS", r"AKIA[A-Z0-9]{16}" + END62),
    ("AWS", r"ASIA[A-Z0-9]{16}" + END62),
    ("GitHub", rf"ghp_{B62}{{36,251}}" + END62),
    ("GitHub", rf"gho_{B62}{{36,251}}" + END62),
    ("GitHub", rf"ghu_{B62}{{36,251}}" + END62),
    ("GitHub", rf"ghs_{B62}{{36,251}}" + END62),
    ("GitHub", rf"ghr_{B62}{{36,251}}" + END62),
    ("GitHub", rf"github_pat_{B62}{{22}}_{B62}{{59}}" + END62),
    ("Anthropic", rf"sk-ant-{URL64}{{24,200}}" + END),
    ("OpenAI", rf"sk-(?:proj|svcacct|admin|None)-{URL64}{{20,200}}" + END),
    ("OpenAI", rf"sk-{B62}{{16,60}}" + END),
)
