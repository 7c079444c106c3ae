"""Numbers that name a person: telephone, credit card and bank account numbers.

A number alone says little: a shape and a check sum (cards, accounts) or a shape and the words
around it (telephones) must agree before a run of digits counts as personal.
"""

import re
from collections.abc import Iterator

import phonenumbers

# Digits with at most two separators between them. Starts at a digit, which is quick to look for;
# to look for digits costs more than all else here, so that it is done once.
_RUN = re.compile(r"[0-9](?<![\w.][0-9])(?:[ .()-]{0,2}[0-9]){5,24}")
# Six digits, and a stroke behind the code of a town, count only beside a word for telephones.
_SIX = re.compile(r"[0-9]{2}([ .-])[0-9]{2}\1[0-9]{2}")
_STROKE = re.compile(r"/ ?[0-9]{2}")
_CODE_BEFORE = re.compile(r"[0-9]{2,6} ?$")
_WITH_STROKE = re.compile(
    r"(?<![\w.])[0-9]{2,6} ?/ ?[0-9]{2,4}(?:[ .-]?[0-9]{2,4}){0,3}(?![0-9]|[ .-][0-9])"
)

_CARD = re.compile(
    r"(?<![0-9.])(?:[0-9]{12,19}|[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}"
    r"|3[0-9]{3}([ -])[0-9]{6}\2[0-9]{4,5})(?![0-9])"
)
_CARD_BEFORE = re.compile(
    r"\b(?:cards?|credit|debit|visa|amex|american express|mastercard|maestro|diners|discover|jcb"
    r"|cc|pan)\b[^\n0-9]{0,24}$",
    re.IGNORECASE,
)
# First digits and lengths by issuer (ISO/IEC 7812). The first ones are told from other numbers
# without a word about cards: they are common, and their lengths are fixed.
_COMMON_CARD = re.compile(
    r"4[0-9]{15}|5[1-5][0-9]{14}|2(?:22[1-9]|2[3-9][0-9]|[3-6][0-9]{2}|7[01][0-9]|720)[0-9]{12}"
    r"|3[47][0-9]{13}|6(?:011|5[0-9]{2}|4[4-9][0-9])[0-9]{12}|35(?:2[89]|[3-8][0-9])[0-9]{12}"
)
_OTHER_CARD = re.compile(
    r"4(?:[0-9]{12}|[0-9]{18})|3(?:0[0-59]|[689][0-9])[0-9]{11}|(?:2131|1800)[0-9]{11}"
    r"|(?:50|5[6-9]|6[0-9])[0-9]{10,17}|35[0-9]{14,17}"
)

_IBAN = re.compile(
    r"[0-9][0-9](?<=(?<![A-Za-z0-9])[A-Za-z]{2}[0-9]{2})(?:[A-Za-z0-9]{11,30}"
    r"|(?: [A-Za-z0-9]{4}){2,7}(?: [A-Za-z0-9]{1,4})?)(?![A-Za-z0-9])"
)
# Characters in an account number (IBAN registry of SWIFT).
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in {
        "15": "NO",
        "16": "BE",
        "18": "DK FI FK FO GL NL SD",
        "19": "MK SI",
        "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV",
        "22": "BG BH CR DE GB GE IE ME RS VA",
        "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG",
        "25": "LY PT ST",
        "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM",
        "28": "AL AZ BY CY DO GT HN HU LB NI PL SV",
        "29": "BR EG PS QA UA",
        "30": "JO KW MU YE",
        "31": "MT SC",
        "32": "LC",
        "33": "RU",
    }.items()
    for country in countries.split()
}

_EXTENSION = re.compile(r" ?(?:x|ext\.?) ?[0-9]{1,6}(?![0-9])")
_GROUPS = re.compile(r"[0-9]+")
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}[-. ](?:0?[1-9]|1[0-2])[-. ](?:0?[1-9]|[12][0-9]|3[01])(?![0-9])"
    r"|(?:0?[1-9]|[12][0-9]|3[01])[-. ](?:0?[1-9]|[12][0-9]|3[01])[-. ](?:19|20)[0-9]{2}(?![0-9])"
    r"|(?:19|20)[0-9]{2} ?- ?(?:19|20)[0-9]{2}(?![0-9])"
)
_DECIMAL = re.compile(r"\+[0-9]+\.[0-9]+")
# The shape of the numbers of North America: 212-555-0123, (212) 555-0123, 1-212-555-0123.
_AMERICAN = re.compile(
    r"(?:(?:00)?1[-. ])?(?:\([2-9][0-9]{2}\) ?[0-9]{3}[-. ]|[2-9][0-9]{2}([-. ])[0-9]{3}\1)[0-9]{4}"
)
# A label stands right before a number, or ends its line: "Fax: 5403926876", "781 1704 office".
_LABEL_BEFORE = re.compile(
    r"(?<![^\W_])(?:(?:tele)?phones?|tel|tél|téléphone|telefon\w*|teléfono|mobile?|móvil|cell(?:phone)?"
    r"|cellular|handy|fax|desk|whatsapp|sms|hotline|helpline|toll[- ]free)\b[\s.:#()=\"'-]{0,4}"
    r"(?:(?:numbers?|no|nr|num|is|at|on)\b[\s.:#=\"'-]{0,3}){0,2}$",
    re.IGNORECASE,
)
_LABEL_AFTER = re.compile(
    r"[\s,(-]{1,3}(?:office|fax|mobile|cell|phone|home|desk|work|tel)\b\)?(?=\s*$|\s*[\n\\,;.)])",
    re.IGNORECASE,
)
_PHRASE_BEFORE = re.compile(
    r"\b(?:call(?:ing)?|dial(?:ing)?|ring|reach|answering|(?:text|sms|voice)? ?messages?|texts?)\b"
    r"(?: (?:me|us|him|her|them|now|back|someone|support|to|at|on|is|my|our|the|registered|number)"
    r"\b){0,5}:?\s$",
    re.IGNORECASE,
)
# What stands before numbers of books, standards and the like.
_OTHER_BEFORE = re.compile(
    r"\b(?:isbn|issn|doi|rfc|iso|iec|ieee|version|v|build|port|pid|id|uuid|ssn|order|invoice|item"
    r"|serial|model|part|ticket|issue|bug|cve)(?:-1[03])?\b[\s:#=.]{0,3}(?:no\.? ?)?$",
    re.IGNORECASE,
)


def may_hold(text: str, digits: int) -> bool:
    """Whether there are this many digits in the text at all: ten passes that cost next to nothing."""
    found = 0
    for digit in "0123456789":
        found += text.count(digit)
        if found >= digits:
            return True
    return False


def cards(text: str) -> Iterator[tuple[int, int]]:
    """Spans of credit card numbers: an issuer's first digits and length, and the Luhn check sum."""
    for run in _RUN.finditer(text):
        if run.end() - run.start() < 12:
            continue
        for match in _CARD.finditer(text, run.start(), run.end()):
            digits = re.sub("[ -]", "", match[0])
            if not _ends_there(text, match.end()) or not luhn(digits):
                continue
            if _COMMON_CARD.fullmatch(digits) or (
                _OTHER_CARD.fullmatch(digits)
                and _CARD_BEFORE.search(text[max(0, match.start() - 48) : match.start()])
            ):
                yield match.span()


def ibans(text: str) -> Iterator[tuple[int, int]]:
    """Spans of bank account numbers: the country's length and the check sum modulo 97."""
    for match in _IBAN.finditer(text):
        start = match.start() - 2
        country = text[start : start + 2].upper()
        length = _IBAN_LENGTHS.get(country)
        if length is None:
            continue
        # Words may follow an account number in groups: it ends where its country says.
        end, seen = start, 0
        while end < match.end() and seen < length:
            seen += text[end] != " "
            end += 1
        number = text[start:end].replace(" ", "")
        whole = end == match.end() or text[end] == " "
        alike = number.isupper() or number.islower()
        if seen == length and whole and alike and iban_checks(number.upper()):
            yield start, end


def phones(text: str) -> Iterator[tuple[int, int]]:
    """Spans of telephone numbers.

    International ones must be possible (ITU E.164 and the country's plan), American ones have
    their shape; any other grouping needs a label or a phrase such as "call me at" beside it.
    """
    for run in _RUN.finditer(text):
        start, end = run.span()
        if sum(map(str.isdigit, run[0])) < 7:
            if _SIX.fullmatch(run[0]) and _has_label(text, start, end):
                yield start, end
            continue
        if text[start - 1 : start] == "(" and ")" in run[0]:
            start -= 1
        plus = text[start - 1 : start] == "+"
        start -= plus
        extension = _EXTENSION.match(text, end)
        end = extension.end() if extension else end
        number = text[start : run.end()]
        if not _starts_there(text, start) or not _ends_there(text, end):
            continue
        before = text[max(0, start - 48) : start]
        if _OTHER_BEFORE.search(before) or _DATE.match(number):
            continue
        if _is_phone(number, plus, before, text[end : end + 14]):
            yield start, end
    last = 0
    for stroke in _STROKE.finditer(text):
        first = max(last, stroke.start() - 8)
        code = _CODE_BEFORE.search(text[first : stroke.start()])
        found = _WITH_STROKE.match(text, first + code.start()) if code else None
        if found:
            last = found.end()
            if 6 <= sum(map(str.isdigit, found[0])) <= 15 and _has_label(text, *found.span()):
                yield found.span()


def _has_label(text: str, start: int, end: int) -> bool:
    """Whether a word for telephones stands before what may be a number, and it is not a date."""
    return (
        _LABEL_BEFORE.search(text[max(0, start - 48) : start]) is not None
        and _starts_there(text, start)
        and _ends_there(text, end)
        and not _DATE.match(text[start:end].replace("/", "."))
    )


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of those before it (ISO/IEC 7812, annex B)."""
    total = sum(int(digit) for digit in digits[-1::-2])
    total += sum(int(digit) * 2 - 9 * (digit > "4") for digit in digits[-2::-2])
    return total % 10 == 0 and digits.strip("0") != ""


def iban_checks(number: str) -> bool:
    """Whether an account number without spaces leaves 1 modulo 97 (ISO 13616, ISO 7064)."""
    turned = number[4:] + number[:4]
    return int("".join(str(int(letter, 36)) for letter in turned)) % 97 == 1


def _is_phone(number: str, plus: bool, before: str, after: str) -> bool:
    groups = _GROUPS.findall(number)
    digits = "".join(groups)
    if not 7 <= len(digits) <= 15 or len({*digits}) == 1:
        return False
    if plus:
        if _DECIMAL.fullmatch(number):
            return False
        return _possible(number, strict=len(groups) == 1 and not _LABEL_BEFORE.search(before))
    if _AMERICAN.fullmatch(number):
        sure = "-" in number or "(" in number or _possible(number, strict=True, region="US")
        if sure:
            return True
    if digits.startswith("00") and len(groups) > 1:
        return _possible("+" + number[2:], strict=True)
    labelled = _LABEL_BEFORE.search(before) or _LABEL_AFTER.match(after)
    if len(groups) == 1:
        return bool(labelled) and len(digits) >= 9
    if max(map(len, groups)) > 8 or min(map(len, groups[1:])) < 2:
        return False  # 1.2.3.4 is not a number to call
    return bool(labelled or _PHRASE_BEFORE.search(before))


def _possible(number: str, strict: bool, region: str | None = None) -> bool:
    """Whether the number has a known country and a length it can have (strict: is in its plan)."""
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    check = phonenumbers.is_valid_number if strict else phonenumbers.is_possible_number
    return bool(check(parsed))


def _starts_there(text: str, start: int) -> bool:
    """Whether no word, longer number, path or price stands right before."""
    return start == 0 or not (text[start - 1].isalnum() or text[start - 1] in "_.+-/#$€£@<>")


def _ends_there(text: str, end: int) -> bool:
    """Whether no word or longer number goes on right behind."""
    last, following = text[end : end + 1], text[end + 1 : end + 2]
    if last.isalnum() or last in ("_", "%", "/", "@"):
        return False
    return not (last in (".", "-", ",", ":", ")") and following.isdigit())
