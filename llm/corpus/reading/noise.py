"""Short lines that web pages put round and into their text: share bars, bylines, notices."""

import re

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
    |(?:teilen|drucken|merken|kommentare?|artikel\ (?:teilen|drucken|versenden)|mehr\ (?:zum|aus|von)\b|(?:ähnliche|weitere|verwandte|beliebte|neueste|aktuelle)\ (?:artikel|beiträge|themen|meldungen|nachrichten|news|posts)|das\ könnte\ (?:sie|dich)|lesen\ sie\ auch|zur\ startseite|anzeige|quelle:|foto:|bild:|aktualisiert)\b.{0,80}$
    |(?:partager|imprimer|commentaires?|à\ lire\ (?:aussi|également)|lire\ (?:aussi|la\ suite)|(?:articles|sujets)\ (?:liés|similaires|connexes|recommandés)|sur\ le\ même\ (?:sujet|thème)|dans\ la\ même\ rubrique|publicité|s['’]abonner|abonnez-vous|publié\ le|mis\ à\ jour|crédit\ photo|inscrivez-vous)\b.{0,80}$
    |(?:compartir|imprimir|comentarios?|leer\ (?:más|también)|lee\ también|te\ puede\ interesar|publicidad|suscríbete|síguenos|(?:noticias|artículos|notas)\ relacionad[ao]s|foto:)\b.{0,80}$
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
