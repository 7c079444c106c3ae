"""Languages that models take for each other, told apart by letters and words that only one of them has.

Words are common ones, with the spelling or the form that one standard prescribes and its neighbours do
not: Serbian "gde" (ekavian) is "gdje" in Croatian and Bosnian, Malay "kerana" is Indonesian "karena".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

_WORD = re.compile(r"\w+")


# What is weighed of a long text.
_CHARACTERS = 4000


@dataclass(frozen=True, eq=False)
class Group:
    """Languages that are close, with what speaks for each; a word may speak for two.

    letters: those that no other of them has. patterns: regular expressions of parts of words.
    foreign: letters that none of them has; a text without those needs no second opinion on whether
    it is one of them. None: it always does.
    """

    words: dict[str, str]
    letters: Mapping[str, str] = field(default_factory=dict)
    patterns: tuple[tuple[str, str], ...] = ()
    foreign: str | None = None


SOUTH_SLAVIC = Group(
    {
        "hr": "tko netko nitko svatko itko što zašto uopće tjedan tjedna tjedana tisuća tisuće sveučilište "
        "sveučilišta općina općine općenito također opće opća opći točka točke točno točan točno europa europe "
        "europski europska europske tijekom glede glazba zrak vlak kazalište tvrtka tvrtke računalo računala "
        "poslužitelj poslužitelja datoteka datoteke datoteku sustav sustava sustavu sigurnosni sigurnosne "
        "osoba osobe skrbi skrb obitelj obitelji odgoj naobrazba naobrazbu uvjet uvjeti uvjete uvjeta utjecaj "
        "siječnja siječanj veljače ožujka travnja svibnja lipnja srpnja kolovoza rujna listopada studenoga "
        "prosinca studenog korisnik korisničko zaporka zaporku lozinka neovisno nezavisno suradnja suradnje "
        "ravnopravnost čovječanstva čimbenik nazočnost promidžba povijest povijesti gospodarstvo nogomet "
        "ukoliko kršenje unatoč vjeroispovijed prihvatiti putovnica stanovništvo uporaba uporabu rabiti "
        "zasebno suglasnost sudjelovati sudjelovanje kruh kava dvojba žlica odvjetnik ured uredu "
        "spolu podrijetla podrijetlo podrijetlu naputak poveznica poveznicu zahtjev zahtjeva",
        "bs": "ko neko niko svako iko šta sedmica sedmice sedmicu sedmično hiljada hiljade univerzitet "
        "univerziteta općina općine također saopćenje tačka tačke tačno tačan evropa evrope evropski "
        "evropska evropske muzika muzike uslov uslovi uslove uslova uticaj porodica porodice porodicu "
        "historija historije historijski lahko kahva mehko sretno uspjeh januara februara marta aprila maja juna "
        "jula augusta septembra oktobra novembra decembra sistem sistema sigurnost vjera vjere uvijek "
        "fajl fajla fajlova server servera korištenje koristiti hljeb ured uredu zahtjev zahtjeva "
        "općenito opći opće opća sviju lahka kompjuter aktuelni premijer prijatelj čovječanstva uvjerenja",
        "sr": "ko neko niko svako iko šta nedelja nedelje nedelju sedmica hiljada hiljade univerzitet "
        "univerziteta opština opštine takođe saopštenje uopšte opšte opšta opšti tačka tačke tačno evropa evrope "
        "evropski muzika uslov uslovi uslove uslova uticaj porodica porodice porodicu istorija istorije "
        "gde negde nigde uvek posle pre ovde onde vreme vremena svet sveta svetu čovek čoveka ljude "
        "reč reči deo dela delu delove lepo lep mesto mesta mestu mera mere deca dece devojka sledeći sledeća "
        "sledeće primer primera zahtev zahteva zahteve vrednost vrednosti uputstvo promena promene promenu "
        "izmena izmene izmeniti nemoguće biće hteo želeo video trebalo bezbednost bezbednosti obezbedi "
        "obezbediti lični lice lica licu sistem sistema fajl server januara februara marta aprila maja juna jula avgusta "
        "septembra oktobra novembra decembra hleb vazduh voz pozorište savet saveta saradnja saradnje "
        "unapred smeju sme smete vera vere veru uverenje uverenja verovatno poslednji poslednja "
        "poslednje namera cena cene celo cela ceo celog delovanje delovanja izvestaj izveštaj obavešten "
        "obaveštenje obaveštenja podešavanja podešavanje potreban smešten smešta dve nasleđe zameni zamena "
        "primena primenu primene rešenje rešenja starešina telo snimak odeljak odeljka član odnos zvanje ovlašćenja "
        "ovlašćenje veroispovest veroispovesti potreba jednakost čovečanstva čovečanstvo "
        "sme smatra vređa uživa",
    },
    patterns=(
        # What was one vowel: e in Serbian, ije or je in the others.
        (
            r"\b(?:prover|izmen|promen|zamen|primen|primer|vred|smen|lep|mest|mer[aeiou]\b|vreme|vremen|rešen|dele?n"
            r"|pover|odelj|sled|cel[aeiou]|poslednj|namen|obele|podel|umesto|zahtev|uspe[šh]|pre[dtv]|usled)",
            "sr",
        ),
        (
            r"vjer|mjen|mjer|mjest|djel|sljed|rješ|cijel|vrijed|vrijem|ijes|ijel|ijep|svijet|bijel|djec|ovdje|gdje|usp?jeh",
            "hr bs",
        ),
        (
            r"\b(?:mož[ue]|mog[ul]|mora|treba|žel[ie]|moći)\w* (?:li )?da\b|šć(?:en|av)|[aieu]ć(?:e|emo|ete|u)\b",
            "sr",
        ),
        (r"i(?:ra(?:n|no|ni|na|ti|nje)|zira\w*)\b|štenj|\b(?:kako bi|te|kojeg|s)\b", "hr"),
        (r"isa(?:n|no|ni|na|ti|nje)\b|ova(?:n|no|na|ni)\b", "bs sr"),
    ),
    foreign="",
)

MALAY = Group(
    {
        "id": "bahwa karena uang bisa kantor senin maret agustus desember silakan silahkan gratis nomor "
        "standar kualitas universitas fakultas mahasiswa aktivitas aktifitas opsi usia kesehatan provinsi "
        "propinsi kabupaten kecamatan rupiah jakarta republik perusahaan situs berkas tautan unggah "
        "unduh surel peramban mobil coba ingin butuh kebutuhan berbeda siapapun manapun dimana diizinkan "
        "diijinkan perkawinan pikiran laki pria memiliki harus nasional internasional pengadilan "
        "pendidikan tiap menurut pidana kawin sandi pengguna kesalahan anggota setidaknya sebagian "
        "peraturan merupakan mengubah ubah tampilkan simpan hapus galat valid isian agar atas",
        "ms": "bahawa kerana wang boleh pejabat isnin jumaat ahad mac ogos disember bilik sila awak berlainan "
        "berbeza cuba percuma laman laluan pengguna fail tapak dibenarkan mesti nombor piawai kualiti "
        "universiti fakulti pelajar aktiviti saiz pengisytiharan sesiapa kerajaan pertubuhan sekiranya "
        "jikalau semasa ralat butiran memperolehi ringgit syarikat ialah iaitu manakala sahaja sebarang "
        "jadual pautan tarikh minit emel borang medan samada tempatan antarabangsa kemasukan tiada "
        "dikehendaki hantar rujukan kebangsaan kesihatan lelaki perkahwinan fikiran mahkamah pelajaran "
        "daripada mahu terdapat mengandungi sah tiada had ubahsuai padam pilihan hendaklah",
    }
)

SCANDINAVIAN = Group(
    {
        "nb": "jeg ikke av etter mellom uten noe noen blir ble hva hvordan hvorfor meg deg seg opp ut nå språk "
        "gjennom hjelp mye må gjør fra bare mer hver hvert hvis samme nødvendig hjemme kjent skjema velg "
        "oppgi inn disse selv verdi verdien finnes passord feil endret bruker brukeren",
        "nn": "eg ikkje ein eit ei kva korleis kvifor frå òg berre mykje dei noko nokon nokre vart vert verta "
        "vore vere vera sjølv sidan dersom utan kvar kvart kven desse gjere gjer framleis ho tidlegare av "
        "etter mellom meg deg seg opp ut språk gjennom hjelp meir må same naudsynt heime skjema vel oppgje "
        "inn verdi verdien finst passord feil endra brukar brukaren einkvar fridom likskap menneske",
        "da": "jeg ikke af efter mellem uden noget nogen nogle bliver blev hvad hvordan hvorfor mig dig sig op ud "
        "nu sprog gennem hjælp meget gør fra kun mere hver hvert hvis samme nødvendig hjemme kendt "
        "formular vælg angiv ind disse selv værdi værdien findes adgangskode fejl ændret bruger brugeren",
    },
    patterns=(
        # Endings: frihed, nation, egenskab in Danish; frihet, nasjon, egenskap in Norwegian.
        (r"(?:hed|tion|skab)(?:er|en|ens|erne|ernes|ers|s|et|ets)?\b", "da"),
        (r"(?:het|sjon|skap)(?:er|en|ens|ene|enes|ers|s|et|ets|a)?\b", "nb"),
        (r"(?:sjon|skap)(?:ar|en|ens|ane|s|et)?\b|leik(?:en|ar)?\b|\w\wleg(?:e|are|ast)?\b", "nn"),
    ),
    foreign="äöÄÖ",  # of Swedish
)

CYRILLIC = Group(
    {
        "mk": "во со од за на се да не го ја ги ќе е дека или како што оваа овој овие може треба биде сите секој "
        "секоја тоа тие која кој кои има нема била бил но по до при му им ѝ свои своја повеќе врз преку помеѓу "
        "меѓу пред право слобода секое датотека овде немате внесете ве молиме барем валидна валиден",
        "sr": "је су у са од за на се да не или као што ова овај ове може треба буде сви свако свака то они која "
        "који које има нема била био али по до при му им њихов своја више преко између пред право слобода "
        "није нису ће ако само још овде унесите морате бити датотека исправан исправну дао",
        "bg": "във със от за на се да не го я ги ще е че или като какво което тази този тези може трябва бъде "
        "всички всеки всяка това те която който които има няма беше но по до при му им свои повече върху през "
        "между пред право свобода са си съм сте сме файл тук нямате въведете моля поне валиден валидна",
    },
    {"mk": "ѓќѕ", "sr": "ђћ", "bg": "ъщьюяй"},
)

_CYRILLIC = re.compile("[а-я]")


def group_of(language: str, text: str) -> Group | None:
    """The languages that one is taken for; Serbian is close to others in each of its scripts."""
    if language in ("bs", "hr", "sr") and _CYRILLIC.search(text[:_CHARACTERS]):
        return _GROUPS["mk"] if language == "sr" else None
    return _GROUPS.get(language)


_GROUPS = {
    "sr": SOUTH_SLAVIC,
    "bs": SOUTH_SLAVIC,
    "hr": SOUTH_SLAVIC,
    "id": MALAY,
    "ms": MALAY,
    "nb": SCANDINAVIAN,
    "nn": SCANDINAVIAN,
    "da": SCANDINAVIAN,
    "mk": CYRILLIC,
    "bg": CYRILLIC,
}


# Codes with a group: all others need no second look at their words.
CLOSE = frozenset(_GROUPS)


def weigh(text: str, group: Group) -> dict[str, float]:
    """How much the words and letters of a text speak for each language of the group.

    What all of them have says nothing; what some have counts half for each of those.
    """
    text = text[:_CHARACTERS].lower()
    found = dict.fromkeys(group.words, 0.0)
    known = _weights(group)
    for word in filter(known.__contains__, _WORD.findall(text)):
        for language, weight in known[word]:
            found[language] += weight
    for pattern, languages in _patterns(group):
        if count := len(pattern.findall(text)):
            for language in languages:
                found[language] += count / len(languages)
    for language, letters in group.letters.items():
        found[language] += sum(map(text.count, letters))
    return found


def prepare() -> None:
    """Compile what `weigh` needs, which the first text of a group would do else."""
    for group in _GROUPS.values():
        weigh("", group)


@cache
def _weights(group: Group) -> dict[str, tuple[tuple[str, float], ...]]:
    found: dict[str, list[str]] = {}
    for language, words in group.words.items():
        for word in dict.fromkeys(words.split()):
            found.setdefault(word, []).append(language)
    return {
        word: tuple((language, 1.0 if len(those) == 1 else 0.5) for language in those)
        for word, those in found.items()
        if len(those) < len(group.words)
    }


@cache
def _patterns(group: Group) -> tuple[tuple[re.Pattern[str], list[str]], ...]:
    return tuple((re.compile(pattern), languages.split()) for pattern, languages in group.patterns)
