import pytest

from services.pii.detector import Detector, disjoint
from services.pii.rules.hit import Hit
from tests.pii.samples import (
    CLEAN_TEMPLATES,
    PII_TEMPLATES,
    SECRET_TEMPLATES,
    Sample,
    samples,
)

DETECTOR = Detector()


def found(text: str) -> set[tuple[int, int, str]]:
    return {(hit.start, hit.end, hit.type) for hit in DETECTOR.hits(text)}


def values(text: str) -> list[tuple[str, str]]:
    return [(hit.type, text[hit.start : hit.end]) for hit in DETECTOR.hits(text)]


def recall_and_precision(of: list[Sample]) -> tuple[float, float]:
    wanted = sum(len(sample.spans) for sample in of)
    right = sum(len(found(sample.text) & set(sample.spans)) for sample in of)
    return right / wanted, right / max(1, sum(len(found(sample.text)) for sample in of))


def test_secrets_are_found_with_exact_borders_in_every_kind_of_text() -> None:
    recall, precision = recall_and_precision(list(samples(SECRET_TEMPLATES, 12, seed=1)))
    assert recall >= 0.98 and precision >= 0.99


def test_personal_data_is_found_with_exact_borders_in_every_kind_of_text() -> None:
    recall, precision = recall_and_precision(list(samples(PII_TEMPLATES, 12, seed=2)))
    assert recall >= 0.98 and precision >= 0.99


@pytest.mark.parametrize("template", CLEAN_TEMPLATES)
def test_nothing_is_found_in_what_only_looks_like_a_value(template: str) -> None:
    for sample in samples((template,), 3, seed=3):
        assert values(sample.text) == []


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1111, 5555555555554444, 378282246310005",
        "user@example.com, ops@example.org, me@localhost, x@corp.test, noreply@acme.dev",
        "127.0.0.1 10.0.0.1 192.168.1.1 169.254.1.1 203.0.113.7 ::1 2001:db8::1 8.8.8.8 1.1.1.1",
        "call 555-0100 or +1 212-555-0142, SSN 078-05-1120 or 000-12-3456",
        "GB82 WEST 1234 5698 7654 32",
    ],
)
def test_reserved_values_are_never_found(text: str) -> None:
    assert values(text) == []


@pytest.mark.parametrize(
    "text",
    [
        "4539 1488 0343 6468",  # Luhn fails
        "DE44 5001 0517 5407 3249 32",  # mod-97 fails
        "SSN 666-12-3456 SSN 900-00-1234",
        "300.1.2.3 1.2.3.4.5 v31.20.45.99 Chrome/121.40.61.85",
        "+999 12345678",
    ],
)
def test_a_failed_checksum_or_form_is_no_finding(text: str) -> None:
    assert values(text) == []


def test_a_number_without_context_is_no_phone_number_and_with_it_is_one() -> None:
    assert values("ticket 2125552672 is closed") == []
    assert values("his phone number: 2125552672") == [("PHONE", "2125552672")]


def test_a_nine_digit_number_is_an_ssn_only_near_its_name() -> None:
    assert values("part 219-44-8812 of lot 7") == []
    assert values("social security no. 219 44 8812") == [("SSN", "219 44 8812")]


def test_only_the_password_of_a_url_is_found() -> None:
    text = "postgres://app:Tr0ub4dor!x9@db.internal:5432/app"
    assert values(text) == [("SECRET", "Tr0ub4dor!x9")]


def test_a_card_inside_an_iban_is_the_iban() -> None:
    text = "FR07 2695 1692 7968 2735 0754 362"
    assert values(f"pay {text}, please") == [("IBAN", text)]


def test_a_private_key_on_one_line_with_escaped_breaks_is_found_whole() -> None:
    body = "\\n".join("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQ" for _ in range(4))
    key = f"-----BEGIN PRIVATE KEY-----\\n{body}\\n-----END PRIVATE KEY-----\\n"
    assert values(f'{{"private_key": "{key}"}}') == [("SECRET", key.removesuffix("\\n"))]


def test_a_key_cut_off_before_its_end_is_still_found() -> None:
    text = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7bq3wz\n" * 8
    assert [(kind, len(value) > 150) for kind, value in values(text)] == [("SECRET", True)]


def test_the_header_of_a_private_key_alone_is_none() -> None:
    assert values('if line == "-----BEGIN PRIVATE KEY-----":\n    return parse(lines)') == []


def test_a_placeholder_is_not_found_again() -> None:
    assert values("DB_PASSWORD=PII_SECRET_0123456789 token: PII_SECRET_ABCDEFGHJK") == []


def test_of_two_hits_that_overlap_the_earlier_rule_stays() -> None:
    first, second = Hit(5, 9, "SECRET", 1.0, ""), Hit(3, 6, "EMAIL", 1.0, "")
    third = Hit(0, 3, "IP", 1.0, "")
    assert disjoint([first, second, third]) == [third, first]


def test_offsets_are_characters_whatever_stands_before() -> None:
    text = "Grüße 🎉 İ 佐藤様: \ud83d anna.berg@northwind.io"
    assert values(text) == [("EMAIL", "anna.berg@northwind.io")]


@pytest.mark.parametrize(
    "word", ["Kennwort", "contraseña", "senha", "パスワード", "密码", "пароль"]
)
def test_passwords_are_named_in_other_languages_too(word: str) -> None:
    assert values(f"{word}: Walnut7731!") == [("SECRET", "Walnut7731!")]


def test_the_token_of_a_url_is_a_secret_and_no_address() -> None:
    token = "3c4a5b6d7e8f90a23d5678c0abcdef02"
    assert values(f"SENTRY_DSN=https://{token}@o1.ingest.sentry.io/2") == [("SECRET", token)]
    assert values("git clone https://anna@github.com/x") == []


def test_a_settings_file_in_a_viewer_with_line_numbers_is_understood() -> None:
    text = "     1→# .env\n     2→DB_PASSWORD=kestrel99blue\n     3→PORT=80\n"
    assert values(text) == [("SECRET", "kestrel99blue")]
