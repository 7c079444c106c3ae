"""What the names of elements and short lines of web pages say: content, or the trimmings round it."""

import re
from functools import lru_cache

# What names say of an element: nothing (0), that it is the content, that it holds the content,
# that it is trimmings, or that it is trimmings even where it holds much text.
CONTENT, WIDE, NOISE, STRONG = 1, 2, 3, 4

_CONTENT = re.compile(
    r"(?:article|story|post|entry|blog|news|name|field|detail)s?[-_]{0,2}(?:body|content|text|copy)\b"
    r"|\bmw-parser-output\b|\bmarkdown-body\b|\be-content\b|\bbody-?(?:text|copy|content)\b",
    re.IGNORECASE,
)
_WIDE = re.compile(
    r"\b(?:main|page|site|single|primary)?[-_]{0,2}content\b|\bcontent[-_]{0,2}(?:main|area|well|inner|body|text)\b"
    r"|\b(?:single|main|article|story|post|entry|hentry|h-entry|blog-?post|rich-?text|prose|primary)\b",
    re.IGNORECASE,
)
_STRONG = frozenset(
    [
        "comments",
        "comment",
        "commentlist",
        "disqus",
        "respond",
        "livefyre",
        "facebook-comments",
        "sidebar",
        "sidebars",
        "related",
        "relatedposts",
        "recirc",
        "recirculation",
        "recommended",
        "recommendations",
        "recommendation",
        "outbrain",
        "taboola",
        "zergnet",
        "cookie",
        "cookies",
        "consent",
        "gdpr",
        "breadcrumb",
        "breadcrumbs",
        "navbar",
        "navigation",
        "nav",
        "footer",
        "masthead",
        "newsletter",
        "newsletters",
        "advertisement",
        "advertisements",
        "adsbygoogle",
        "popup",
        "modal",
        "lightbox",
        "pagination",
        "pager",
        "sharedaddy",
        "addthis",
        "addtoany",
        "sharethis",
        "offcanvas",
        "hidden",
        "skip-link",
        "skiplink",
        "trending",
        "mostread",
        "mostpopular",
        "jp-relatedposts",
        "toolbar",
        "topbar",
        "colophon",
        "noprint",
        "editsection",
        "headerlink",
        "visuallyhidden",
        "screenreader",
    ]
)
_NOISE = frozenset(
    [
        "share",
        "shares",
        "sharing",
        "sharebar",
        "social",
        "socials",
        "socialmedia",
        "follow",
        "subscribe",
        "subscription",
        "subscribebox",
        "signup",
        "login",
        "promo",
        "promos",
        "promotion",
        "banner",
        "ad",
        "ads",
        "advert",
        "adverts",
        "adslot",
        "dfp",
        "sponsor",
        "sponsored",
        "widget",
        "widgets",
        "author",
        "authors",
        "byline",
        "bylines",
        "bio",
        "authorbio",
        "tags",
        "taglist",
        "tagcloud",
        "keywords",
        "postmeta",
        "entrymeta",
        "metadata",
        "meta",
        "timestamp",
        "dateline",
        "pubdate",
        "date",
        "caption",
        "captions",
        "credit",
        "credits",
        "copyright",
        "menu",
        "submenu",
        "popular",
        "recent",
        "readmore",
        "teaser",
        "teasers",
        "donate",
        "donation",
        "donations",
        "crosspromo",
        "poll",
        "rating",
        "ratings",
        "vote",
        "votes",
        "reactions",
        "print",
        "printer",
        "permalink",
        "syndication",
        "feedback",
        "survey",
        "paywall",
        "prev",
        "previous",
        "next",
        "prevnext",
        "linklist",
        "links",
        "seealso",
        "morefrom",
        "moreon",
        "rss",
        "tweet",
        "share-buttons",
        "toc",
        "upvote",
        "profile",
        "avatar",
        "search",
        "searchform",
        "infobox",
        "navbox",
        "catlinks",
        "cta",
        "alsoread",
        "inread",
    ]
)
_PAIRS = re.compile(
    r"(?:more|also)[-_](?:from|on|in|like|stories|news|posts|articles|read|reading)|read[-_](?:more|next|also)"
    r"|(?:latest|top|other|similar)[-_](?:news|stories|posts|articles)|you[-_]may|up[-_]?next"
    r"|post[-_]?(?:meta|info|footer|nav|tags|date)|entry[-_]?(?:meta|footer|utility|date)"
    r"|article[-_]*(?:meta|info|footer|header|tags|tools|date|actions)|sign[-_]?up|call[-_]to[-_]action"
    r"|screen[-_]reader|sr[-_]only|visually[-_]hidden|skip[-_](?:link|to)|mw[-_]jump|edit[-_]section"
    r"|print[-_]only|no[-_]?print|d[-_]none|most[-_](?:read|popular|viewed)|pull[-_]?quote|photo[-_]credit"
    r"|image[-_](?:credit|caption)|wp[-_]caption|about[-_](?:the[-_])?author|story[-_]?(?:meta|footer|tags)"
    r"|tag[-_]?(?:list|links|cloud|s[-_])|(?:^|[\s_-])ad[-_]?(?:container|wrapper|unit|slot|box|space|label|block)"
    r"|google[-_]?ad|dfp|inline[-_]?(?:related|promo|newsletter)|newsletter",
    re.IGNORECASE,
)
# Words of names that tell how an element is laid out, not what it is.
_LAYOUT = re.compile(
    r"(?:has|no|with|without|show|is|hide|left|right|full|wide)[-_]+\w+(?:[-_]\w+)?|[\w-]*sidebar-(?:left|right|none)|(?:tag|category|format|status|type|author)-[\w-]+",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORDS = re.compile(r"[a-z]+")


@lru_cache(maxsize=50_000)
def kind_of_names(names: str) -> int:
    """What class and id ("class id") say of an element: CONTENT, NOISE, STRONG or 0."""
    words = _WORDS.findall(_CAMEL.sub("-", _LAYOUT.sub(" ", names)).lower())
    found = set(words)
    if found & _STRONG:
        return STRONG
    if found & _NOISE or _PAIRS.search(names):
        return NOISE
    if _CONTENT.search(names):
        return CONTENT
    if _WIDE.search(names):
        return WIDE
    return 0


# Lines that pages put round and into articles. They count where the whole block is short.
SHORT_LINE = 160
_TRIMMINGS = re.compile(
    r"""^\W*(?:
    (?:please\ )?(?:share|tweet|e-?mail|print|save|pin|whatsapp|facebook|twitter|linkedin|reddit|copy\ link)\b(?:\W|$)
      (?:this\b.{0,40}|on\b.{0,30}|via\b.{0,30}|(?:\W*(?:share|tweet|e-?mail|print|save|pin\ it|pin|on|facebook|twitter|linkedin|reddit|whatsapp|\d+))*)\W*$
    |(?:view|show|hide|leave|post|add|read|see|load|join)\b.{0,20}\bcomments?\b.{0,20}$
    |\d*\W*(?:comments?|replies|responses|shares?|likes?|views?|reactions?)\W*\d*\W*$
    |leave\ a\ (?:reply|comment)|join\ the\ (?:conversation|discussion)|log\ ?in\ to|sign\ (?:in|up)\b|already\ a\ (?:member|subscriber)
    |(?:related|recommended|popular|trending|more|further|also|must|suggested)\ ?(?:articles?|stories|story|posts?|reading|news|links?|topics?|content|coverage|video|from|read|:)\b.{0,60}
    |(?:read|see|watch|listen)\ ?(?:more|next|also|:|the\ full)\b.{0,120}|more\ (?:on|about|from|in)\b.{0,80}$|you\ (?:may|might)\ (?:also|like)|don['’]t\ miss\b.{0,60}
    |advertise?ments?\b|sponsored\b.{0,40}$|story\ continues\ below|article\ continues\ (?:below|after)|continue\ reading|scroll\ (?:down\ )?to\ continue|promoted\ (?:content|stories)
    |(?:subscribe|sign\ up|register)\b.{0,120}|(?:get|receive)\b.{0,60}\b(?:newsletter|inbox|e-?mail)\b|(?:our|the|free|daily|weekly)\b.{0,40}\bnewsletter\b
    |follow\ (?:us|me|him|her|@|\w+\ on)\b.{0,100}|like\ us\ on\b.{0,60}|download\ (?:our|the)\ app\b.{0,60}
    |tags?\ ?:.{0,150}|filed\ under\b.{0,150}|categor(?:y|ies)\ ?:.{0,150}|topics?\ ?:.{0,150}|tagged\ (?:with|as|in)?\b.{0,100}|posted\ (?:in|on|by|at)\b.{0,100}
    |(?:photo(?:graph)?s?|image|picture|credit|source|video)\W{0,3}(?:credits?|by|courtesy|source|copyright|getty|via)?\ ?[:©/].{0,120}|getty\ images\b.{0,60}
    |(?:©|\(c\)|copyright)\s.{0,150}|.{0,80}\ball\ rights\ reserved\b.{0,40}
    |(?:first\ )?(?:published|updated|last\ (?:updated|modified))\b.{0,60}$|\d+\ ?(?:min(?:ute)?s?|mins?)\ read\b.{0,20}$
    |(?:we|this\ (?:web)?site)\ uses?\ cookies\b|by\ (?:continuing|using)\b.{0,40}\b(?:site|cookies)\b|accept\ (?:all\ )?cookies
    |(?:click|tap)\ (?:here|to)\b.{0,80}$|back\ to\ top|skip\ to\b.{0,30}$|(?:next|previous|prev|older|newer)\b.{0,10}(?:article|story|post|page|entry)?s?\W*$
    |(?:teilen|drucken|merken|kommentare?|artikel\ (?:teilen|drucken|versenden)|mehr\ zum\ thema|lesen\ sie\ auch|zur\ startseite|anzeige|quelle:|foto:|bild:|aktualisiert)\b.{0,80}$
    |(?:partager|imprimer|commentaires?|à\ lire\ (?:aussi|également)|lire\ (?:aussi|la\ suite)|publicité|s['’]abonner|abonnez-vous|publié\ le|mis\ à\ jour|crédit\ photo|inscrivez-vous)\b.{0,80}$
    |(?:compartir|imprimir|comentarios?|leer\ (?:más|también)|lee\ también|te\ puede\ interesar|publicidad|suscríbete|síguenos|noticias\ relacionadas|foto:)\b.{0,80}$
    |(?:condividi|stampa|commenti|leggi\ anche|pubblicità|iscriviti|compartilh\w+|leia\ (?:mais|também)|publicidade|comentários|lees\ (?:ook|meer)|deel\ dit|reacties|advertentie|читайте\ также|поделиться|комментарии|реклама)\b.{0,80}$
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_BYLINE = re.compile(
    r"^(?:by|von|par|por|di|door|written\ by|posted\ by|text|words|story|reporting\ by)\b[:\s]+[^.!?]{2,80}$",
    re.IGNORECASE,
)
_DATE = re.compile(
    r"^[^.!?]{0,40}(?:\d{1,2}[./:-]\d{1,2}(?:[./-]\d{2,4})?|\b(?:19|20)\d\d\b)[^!?]{0,40}$"
)


def is_trimming(text: str) -> bool:
    """Whether a block is a share bar, a teaser for another page, a notice or the like."""
    return len(text) <= SHORT_LINE and _TRIMMINGS.match(text) is not None


def is_byline(text: str) -> bool:
    """Whether a short block before the text names its author or its date."""
    return len(text) <= 120 and (_BYLINE.match(text) is not None or _DATE.match(text) is not None)
