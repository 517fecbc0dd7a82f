# ruff: noqa: E501 - tables read better on long lines
"""Synthetic texts with the places of their values, made from templates: no real data.

`{name}` in a template is replaced by a made-up value of that kind and marked with its type;
`{!name}` is filled in without a mark.
"""

import random
import re
import string
from collections.abc import Callable, Iterator
from typing import NamedTuple

HEX, LOWER, UPPER, DIGITS = (
    "0123456789abcdef",
    string.ascii_lowercase,
    string.ascii_uppercase,
    "0123456789",
)
B62 = string.ascii_letters + DIGITS
U64 = B62 + "-_"
B64 = B62 + "+/"
Random = random.Random
Make = Callable[[Random], str]


class Sample(NamedTuple):
    text: str
    spans: tuple[tuple[int, int, str], ...]


def run(alphabet: str, length: int) -> Make:
    return lambda r: "".join(r.choice(alphabet) for _ in range(length))


def key(prefix: str, alphabet: str, length: int, suffix: str = "") -> Make:
    return lambda r: prefix + run(alphabet, length)(r) + suffix


KEYS: dict[str, Make] = {
    "aws": key("AKIA", UPPER + "234567", 16),
    "aws_session": key("ASIA", UPPER + "234567", 16),
    "github": key("ghp_", B62, 36),
    "github_server": key("ghs_", B62, 36),
    "github_fine": lambda r: f"github_pat_{run(B62, 22)(r)}_{run(B62, 59)(r)}",
    "gitlab": key("glpat-", U64, 20),
    "gitlab_deploy": key("gldt-", U64, 20),
    "slack_user": lambda r: (
        "xoxp-" + "-".join(run(DIGITS, 12)(r) for _ in range(3)) + "-" + run(HEX, 32)(r)
    ),
    "slack_app": lambda r: f"xapp-1-A{run(UPPER, 10)(r)}-{run(DIGITS, 13)(r)}-{run(HEX, 64)(r)}",
    "stripe": key("sk_live_", B62, 24),
    "stripe_long": key("rk_live_", B62, 99),
    "stripe_hook": key("whsec_", B62, 32),
    "openai": key("sk-proj-", U64, 48),
    "openai_service": key("sk-svcacct-", U64, 74),
    "anthropic": key("sk-ant-api03-", U64, 93, "AA"),
    "anthropic_admin": key("sk-ant-admin01-", U64, 93, "AA"),
    "openrouter": key("sk-or-v1-", HEX, 64),
    "deepseek": key("sk-", HEX, 32),
    "groq": key("gsk_", B62, 52),
    "xai": key("xai-", B62, 80),
    "perplexity": key("pplx-", B62, 48),
    "huggingface": key("hf_", B62, 34),
    "replicate": key("r8_", B62, 37),
    "google": key("AIza", U64, 35),
    "google_oauth": key("GOCSPX-", U64, 28),
    "google_access": key("ya29.a0", U64, 120),
    "npm": key("npm_", B62, 36),
    "pypi": key("pypi-AgEIcHlwaS5vcmc", U64, 120),
    "docker": key("dckr_pat_", U64, 27),
    "sendgrid": lambda r: f"SG.{run(U64, 22)(r)}.{run(U64, 43)(r)}",
    "mailgun": key("key-", HEX, 32),
    "brevo": lambda r: f"xkeysib-{run(HEX, 64)(r)}-{run(B62, 16)(r)}",
    "telegram": lambda r: f"{r.randrange(10**8, 10**10)}:AA{run(U64, 33)(r)}",
    "discord": lambda r: f"M{run(B62, 23)(r)}.{run(U64, 6)(r)}.{run(B62, 27)(r)}",
    "shopify": key("shpat_", HEX, 32),
    "digitalocean": key("dop_v1_", HEX, 64),
    "vault": key("hvs.", U64, 90),
    "doppler": key("dp.pt.", B62, 43),
    "terraform": lambda r: f"{run(B62, 14)(r)}.atlasv1.{run(U64, 67)(r)}",
    "databricks": key("dapi", HEX, 32),
    "linear": key("lin_api_", B62, 40),
    "notion": key("ntn_", B62, 46),
    "figma": key("figd_", U64, 40),
    "newrelic": key("NRAK-", UPPER + DIGITS, 27),
    "grafana": lambda r: f"glsa_{run(B62, 32)(r)}_{run(HEX, 8)(r)}",
    "postman": lambda r: f"PMAK-{run(HEX, 24)(r)}-{run(HEX, 34)(r)}",
    "airtable": lambda r: f"pat{run(B62, 14)(r)}.{run(HEX, 64)(r)}",
    "atlassian": key("ATATT3xFfGF0", U64, 180),
    "supabase": key("sbp_", HEX, 40),
    "planetscale": key("pscale_tkn_", U64, 43),
    "pulumi": key("pul-", HEX, 40),
    "tailscale": lambda r: f"tskey-auth-{run(B62, 12)(r)}-{run(B62, 32)(r)}",
    "sentry": key("sntryu_", HEX, 64),
    "twilio": key("SK", HEX, 32),
    "azure": lambda r: f"{run(B62, 3)(r)}8Q~{run(B62 + '._~-', 34)(r)}".rstrip(".-_~"),
    "jwt": lambda r: f"eyJ{run(B62, 33)(r)}.eyJ{run(U64, 80)(r)}.{run(U64, 43)(r)}",
    "nvidia": key("nvapi-", U64, 64),
    "pinecone": key("pcsk_", U64, 70),
    "adobe": key("p8e-", LOWER + DIGITS, 32),
    "asana": lambda r: f"1/12{run(DIGITS, 14)(r)}:{run(HEX, 32)(r)}",
    "aws_token": key("IQoJb3JpZ2luX2Vj", B64, 620, "=="),
    "azure_ai": lambda r: f"{run(B62, 52)(r)}JQQJ99BCAC{run(B62, 22)(r)}",
    "azure_devops": lambda r: f"{run(B62, 76)(r)}AZDO{run(B62, 4)(r)}",
    "brave": key("BSA", B62, 28),
    "clickup": lambda r: f"pk_{run(DIGITS, 8)(r)}_{run(UPPER + DIGITS, 32)(r)}",
    "clickhouse": key("4b1d", B62, 38),
    "cloudflare_origin": lambda r: f"v1.0-{run(HEX, 24)(r)}-{run(HEX, 146)(r)}",
    "elastic": key("essu_", B64, 60, "=="),
    "firebase": lambda r: f"AAAA{run(B62, 7)(r)}:{run(U64, 139)(r)}a",
    "grafana_old": key("eyJrIjoi", B62, 84),
    "gitlab_runner": key("glrtr-", U64, 27),
    "mailchimp": lambda r: f"{run(HEX, 32)(r)}-us{r.randrange(1, 22)}",
    "mailgun_new": lambda r: f"{run(HEX, 32)(r)}-{run(HEX, 8)(r)}-{run(HEX, 8)(r)}",
    "mongo": key("mdb_sa_sk_", U64, 40),
    "neon": key("npg_", B62, 12),
    "octopus": key("API-", UPPER + DIGITS, 27),
    "onepassword": lambda r: "A3-" + "-".join(run(UPPER + DIGITS, n)(r) for n in (6, 11, 5, 5, 5)),
    "stripe_org": key("sk_org_live_", B62, 60),
    "telnyx": lambda r: f"KEY0{run('0123456789ABCDEF', 31)(r)}_{run(B62, 22)(r)}",
    "twitter": key("A" * 22, B62, 90),
    "voyage": key("pa-", U64, 43),
}
NAMED: dict[str, Make] = {
    "hex": run(HEX, 40),
    "base64": key("", B64, 43, "="),
    "b62": run(B62, 32),
    "aws_secret": run(B64, 40),
}
PASSWORDS: dict[str, Make] = {
    "random": lambda r: run(B62 + "!#%^*-_", 14)(r) + r.choice(DIGITS) + r.choice("aZ"),
    "human": lambda r: (
        r.choice(["Walrus", "Copper", "Thunder", "Maple", "Kestrel"])
        + run(DIGITS, 4)(r)
        + r.choice("!#*$")
    ),
    "letters": lambda r: run(B62, 18)(r) + r.choice(DIGITS),
}
FIRST, LAST = (
    ["anna", "jonas", "mei", "tomas", "priya", "luca", "sofia", "omar"],
    ["berg", "silva", "okoro", "tanaka", "weiss", "moreau", "novak"],
)
HOSTS = [
    "northwind.io",
    "fabrikam.de",
    "contoso.co.uk",
    "gmail.com",
    "kolibri.com.br",
    "uni-ulm.de",
    "orange.fr",
    "proton.me",
]


def email(r: Random) -> str:
    first, last = r.choice(FIRST), r.choice(LAST)
    local = r.choice(
        [f"{first}.{last}", f"{first[0]}{last}", f"{last}_{first}{r.randrange(99)}", f"{first}+ci"]
    )
    return f"{local}@{r.choice(HOSTS)}"


def card(r: Random) -> str:
    prefix = r.choice(["4539", "5412", "5288", "6011", "2345", "4716"])
    digits = prefix + run(DIGITS, 11)(r)
    digits += next(d for d in DIGITS if luhn(digits + d))
    return r.choice(
        [
            digits,
            " ".join(digits[i : i + 4] for i in range(0, 16, 4)),
            "-".join(digits[i : i + 4] for i in range(0, 16, 4)),
        ]
    )


def luhn(digits: str) -> bool:
    doubled = sum(sum(divmod(2 * int(d), 10)) for d in digits[-2::-2])
    return (doubled + sum(map(int, digits[-1::-2]))) % 10 == 0


def iban(r: Random) -> str:
    country, shape = r.choice(
        [
            ("DE", "n" * 18),
            ("FR", "n" * 10 + "c" * 11 + "nn"),
            ("GB", "aaaa" + "n" * 14),
            ("NL", "aaaa" + "n" * 10),
            ("PL", "n" * 24),
        ]
    )
    bank = "".join(r.choice({"n": DIGITS, "a": UPPER, "c": UPPER + DIGITS}[c]) for c in shape)
    check = 98 - int("".join(str(int(c, 36)) for c in bank + country + "00")) % 97
    whole = f"{country}{check:02d}{bank}"
    return (
        whole if r.random() < 0.5 else " ".join(whole[i : i + 4] for i in range(0, len(whole), 4))
    )


def phone(r: Random) -> str:
    n = lambda k: run(DIGITS, k)(r)  # noqa: E731
    return r.choice([
        f"+1 212-{r.randrange(200, 999)}-{n(4)}", f"(415) {r.randrange(200, 555)}-{n(4)}", f"+44 20 7946 {n(4)}",
        f"+49 30 {r.randrange(2, 9)}{n(6)}", f"+33 6 {r.randrange(10, 99)} {n(2)} {n(2)} {n(2)}", f"+55119{r.choice('6789')}{n(7)}",
        f"+91 98{n(3)} {n(5)}", f"+81 3-{r.randrange(3, 6)}{n(3)}-{n(4)}",
    ])  # fmt: skip


def national(r: Random) -> str:
    n = lambda k: run(DIGITS, k)(r)  # noqa: E731
    return r.choice(
        [
            f"020 7946 {n(4)}",
            f"030 {r.randrange(2, 9)}{n(6)}",
            f"06 {r.randrange(10, 99)} {n(2)} {n(2)} {n(2)}",
            f"(11) 9{r.randrange(6, 9)}{n(3)}-{n(4)}",
            f"212-{r.randrange(200, 555)}-{n(4)}",
        ]
    )


def ssn(r: Random) -> str:
    return f"{r.randrange(1, 665):03d}-{r.randrange(1, 99):02d}-{r.randrange(1, 9999):04d}"


def address4(r: Random) -> str:
    return f"{r.choice([23, 45, 81, 93, 151, 178, 213])}.{r.randrange(10, 250)}.{r.randrange(10, 250)}.{r.randrange(11, 250)}"


def address6(r: Random) -> str:
    return f"2a0{r.randrange(1, 9)}:{run(HEX, 3)(r)}:" + ":".join(
        f"{r.randrange(4096, 65535):x}" for _ in range(6)
    )


def pem(r: Random) -> str:
    kind = r.choice(["RSA ", "EC ", "OPENSSH ", "", "ENCRYPTED "])
    body = "\n".join(run(B64, 64)(r) for _ in range(r.randrange(3, 26)))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n{run(B64, 30)(r)}==\n-----END {kind}PRIVATE KEY-----"


KINDS: dict[str, tuple[str, Make]] = {
    "key": ("SECRET", lambda r: r.choice(list(KEYS.values()))(r)),
    "named": ("SECRET", lambda r: r.choice(list(NAMED.values()))(r)),
    "password": ("SECRET", lambda r: r.choice(list(PASSWORDS.values()))(r)),
    "urlpass": ("SECRET", lambda r: run(B62, 13)(r) + r.choice(DIGITS)),
    "pem": ("SECRET", pem),
    "uuid_token": ("SECRET", lambda r: "-".join(run(HEX, n)(r) for n in (8, 4, 4, 4, 12))),
    "email": ("EMAIL", email),
    "card": ("CREDIT_CARD", card),
    "iban": ("IBAN", iban),
    "phone": ("PHONE", phone),
    "national": ("PHONE", national),
    "ssn": ("SSN", ssn),
    "ip": ("IP", lambda r: r.choice([address4, address6])(r)),
    "uuid": ("", lambda r: "-".join(run(HEX, n)(r) for n in (8, 4, 4, 4, 12))),
    "sha": ("", run(HEX, 40)),
}
HOLE = re.compile(r"\{(!?)(\w+)\}")

SECRET_TEMPLATES = (
    "STRIPE={key}\nPORT=80", "key: {key}", "the key is {key}, keep it safe", "curl -H 'x-api-key: {key}' https://api.acme.dev/v1",
    "git clone https://oauth2:{key}@git.acme.dev/app.git", "const c = new Client({ apiKey: '{key}', retries: 3 });",
    "| name | value |\n| token | {key} |", "<add key=\"Token\" value=\"{key}\" />", "http GET /v1/x?access_token={key}&page=2",
    "[2026-03-01 10:00:00] WARN retry with {key} (attempt 2)", "+  token: {key}\n-  token: old", "{\"k\":\"{key}\"}",
    "export DB_PASSWORD='{password}'", "spring.datasource.password={password}", "  password: {password}\n  user: app",
    "Server=db;Database=app;User Id=sa;Password={password};Encrypt=true", "jdbc:postgresql://db/app?user=app&password={password}",
    "login: deploy\npassword: {password}", "my password is {password} and it fails", "$env:SMTP_PASSWORD = \"{password}\"",
    "<password>{password}</password>", "mysql -u root -p{password} shop", "docker run -e MYSQL_ROOT_PASSWORD={password} mysql",
    "ALTER USER app WITH PASSWORD '{password}';", "      - name: DB_PASSWORD\n        value: \"{password}\"", "db_password = \"{password}\"",
    "config.set('password', '{password}')", "conn = connect(host='db', user='app', password='{password}')", "self.password = \"{password}\"",
    "redis://default:{urlpass}@cache.acme.dev:6379/0", "amqps://svc:{urlpass}@mq.acme.dev/vhost", "ftp://bob:{urlpass}@files.acme.dev/",
    "JWT_SECRET={named}", "client_secret: {named}", "\"secretKey\": \"{named}\",", "AccountName=acme;AccountKey={named};EndpointSuffix=x",
    "aws_secret_access_key = {named}", "Authorization: Bearer {named}", "curl --token {named} https://x.acme.dev", "//npm.acme.dev/:_authToken={named}",
    "SECRET_KEY = '{named}'", "private const string ApiKey = \"{named}\";", "api-key={named}", "let apiToken: String = \"{named}\"",
    "ADMIN_PASSWORD={password}", "the admin password is {password}, change it", "rsync_password={password}", "adminToken: \"{named}\"",
    "let api_key: &str = \"{named}\";", "static const std::string apiKey = \"{named}\";", "DB_PASSWORD: ${DB_PASSWORD:-{password}}", "wifi psk=\"{password}\"",
    "docker login -u ci -p {password} registry.acme.io", "$c = ConvertTo-SecureString '{password}' -AsPlainText -Force", "net user backup {password} /add",
    "db.acme.io:5432:app:svc:{password}", "SERVICE_TOKEN={uuid_token}", "API_KEY_PRIVATE={named}",
    "  webhook_secret: {named}\n  port: 1", "{pem}", "key: |\n{pem}\n", "PRIVATE_KEY=\"{pem}\"",
)  # fmt: skip
PII_TEMPLATES = (
    "Write to {email} today.", "<{email}> wrote:", "From: Anna Berg <{email}>\nTo: {email}", "mailto:{email}?subject=x", "user={email};", "'{email}': 3,",
    "assignee: @{!sha}, cc {email}", "login failed for {email} from {ip}", "{\"email\":\"{email}\",\"ip\":\"{ip}\"}", "(\"{email}\", \"{phone}\")",
    "card {card} was declined", "pan={card}&cvv=123", "\"number\": \"{card}\"", "pay {iban} by friday", "IBAN: {iban}\nBIC: X", "account,{iban},EUR",
    "Call {phone} now", "tel:{phone}", "phone = '{phone}'", "{phone} / {email}", "SMS to {phone} failed", "Contact: {phone} (office)",
    "my phone number is {national}", "Mobile: {national}", "\"phone\": \"{national}\"", "name;tel;city\nBerg;{national};Ulm", "fax {national}.",
    "tél. {national}", "Mobil {national}", "telefoon: {national}", "contact no: {national}", "telemóvel {national}", "模様：{email}まで", "my social is {ssn}",
    "X-Forwarded-For: {ip}, 10.0.0.1",
    "SSN: {ssn}", "social security number {ssn}", "\"ssn\": \"{ssn}\"", "name,ssn\nBerg,{ssn}",
    "Failed password for root from {ip} port 22", "client_ip={ip}", "X-Forwarded-For: {ip}", "peer {ip}:443 closed" , "ping {ip}", "- host: {ip}",
)  # fmt: skip
CLEAN_TEMPLATES = (
    "every system call. Copyright (c) 2015-2018 Ada", "phone: {icon:{viewBox:\"64 64 896 896\"}}", "9ECE 58A8 9F52 5112 5118 5114 5110 5115 5180 51AA",
    "{\"token\": \"{!uuid}\"}", "maxTokens: 4096, minPasswordLength = 12, send_token(user)", "12.5 0.3,192.0 1.5.2.7 0.1",
    "commit {!sha}\nMerge: 1f2e3d4 9a8b7c6", "id: {!uuid}", "etag: \"{!sha}\"", "request {!uuid} took 31 ms", "sha256:{!sha}{!sha}", "integrity sha512-{!sha}==",
    "password = os.environ['DB_PASSWORD']", "password: ${DB_PASSWORD}", "token = request.headers.get('Authorization')", "api_key: str | None = None",
    "def login(user, password):", "if token is None: raise ValueError('token missing')", "SECRET_KEY=changeme", "PASSWORD=<your password>", "password: \"********\"",
    "tokens: 4096, max_tokens=1024", "next_token: {!sha}", "class TokenBucket(RateLimiter):", "const passwordField = document.querySelector('#password')",
    "user@example.com, noreply@acme.dev", "git@github.com:acme/app.git", "npm i left-pad@1.3.0", "@pytest.fixture(autouse=True)", "a @ b.T", "foo@bar",
    "4242 4242 4242 4242 is a test card", "DE89 3704 0044 0532 0130 00", "call 555-0123", "order 4155552672", "build 10.4.22.1 of 2026-03-04", "127.0.0.1:8080 and 10.1.2.3 and 192.0.2.7",
    "2026-03-04T10:11:12.123456Z 1772619072", "0x7ffd3a2b1c40 in main ()", "pages 212-415, 123-45-6789", "EAN 4006381333931", "version = \"3.11.2.1\"",
    "sk-learn-contrib-imbalanced-data-tools", "<task-notification>ask-user desk-booking-system</task-notification>", "AKIAIOSFODNN7EXAMPLE", "sk-ant-your-key-here", "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "toolu_01XFDUDYJgAACzvnptvVoYEL msg_01A09q90qw90lq917835lq9 call_abc123DEF456ghi789JKL012", "-----BEGIN CERTIFICATE-----\n{!sha}\n-----END CERTIFICATE-----", "ssh-rsa AAAAB3Nza{!sha}{!sha} me",
    "postgres://user:password@localhost:5432/db", "redis://localhost:6379/0", "https://acme.dev:8443/a:b@c", "if (key === 'password') return mask(value);", "\"key\": \"{!sha}\"", "cache_key = f\"{user}:{page}\"",
    "<input type=\"password\" name=\"password\" placeholder=\"Password123\">", "throw new Error(\"Invalid password: must have 8+ chars\")", "PRIMARY KEY (id)", "grant_type=password&username=x", "auth: none", "auth = AuthMiddleware()",
)  # fmt: skip


def fill(template: str, r: Random) -> Sample:
    spans: list[tuple[int, int, str]] = []
    pieces: list[str] = []
    at = size = 0
    for hole in HOLE.finditer(template):
        if hole[2] not in KINDS:
            continue
        type_, make = KINDS[hole[2]]
        value = make(r)
        pieces += (template[at : hole.start()], value)
        size += hole.start() - at
        if not hole[1]:
            spans.append((size, size + len(value), type_))
        size += len(value)
        at = hole.end()
    return Sample("".join([*pieces, template[at:]]), tuple(spans))


def samples(templates: tuple[str, ...], each: int, seed: int) -> Iterator[Sample]:
    r = Random(seed)
    for template in templates:
        for _ in range(each):
            yield fill(template, r)
