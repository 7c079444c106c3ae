"""What the class and id of an element say of it: content, or the trimmings round it.

A name counts as trimmings where the whole of it names a known component ("share-buttons",
"c-related-articles"). A word inside another name does not: "field--label-hidden" holds a text whose
label is hidden, "row-offcanvas" holds the page.
"""

import re
from functools import lru_cache

# What names say of an element: nothing (0), that it is the content, that it holds the content,
# that it is trimmings, that it is trimmings even where it holds much text, that it is comments.
CONTENT, WIDE, NOISE, STRONG, COMMENTS = 1, 2, 3, 4, 5

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


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


_COMMENTS = words(
    "comments comment commentlist commentform comment-reply respond disqus disqus-thread livefyre "
    "facebook-comments fb-comments user-comments reader-comments"
)
_STRONG = words(
    "sidebar sidebars sidenav related relatedposts related-stories related-news related-topics "
    "related-reading related-coverage jp-relatedposts recirc recirculation recommended "
    "recommendations recommendation outbrain ob-widget taboola zergnet cookie cookies cookie-notice "
    "cookie-consent cookie-law cookie-banner cookie-info cookie-policy consent gdpr breadcrumb "
    "breadcrumbs navbar navigation nav subnav mainnav footer masthead newsletter newsletters "
    "newsletter-signup advertisement advertisements adsbygoogle popup popover modal lightbox "
    "pagination pager sharedaddy addthis addtoany sharethis offcanvas skip-link skiplink trending "
    "most-read most-popular most-viewed mostread mostpopular toolbar topbar colophon noprint no-print "
    "editsection mw-editsection headerlink visuallyhidden visually-hidden screenreader screen-reader "
    "sr-only up-next you-may-like you-might-like you-may-also-like might-also-like mw-jump print-only d-none"
)
_NOISE = words(
    "share shares sharing sharebar share-this share-tools sharetools shareit social socials "
    "socialmedia social-media social-share socialshare social-sharing social-icons social-links "
    "social-follow follow follow-us subscribe subscription subscribebox sign-up signup login log-in "
    "register promo promos promotion banner ad ads advert adverts advertising adslot ad-slot ad-unit "
    "ad-space ad-label ad-sense google-ad google-ads dfp sponsor sponsors sponsored author authors "
    "author-bio author-info authorbio about-author about-the-author byline bylines bio tags tag-list "
    "taglist tagcloud tag-cloud tag-links tags-links cat-links keywords postmeta post-meta entrymeta "
    "metadata meta-data meta meta-info info-meta timestamp time-stamp dateline pubdate pub-date "
    "posted-on date-published caption captions credit credits photo-credit image-credit "
    "media-credit copyright menu submenu menu-item dropdown popular popular-posts recent recent-posts "
    "recent-comments read-more readmore read-next read-also also-read alsoread teaser teasers donate "
    "donation donations cross-promo crosspromo poll rating ratings vote votes vote-up reactions "
    "permalink syndication feedback survey paywall prev previous next prev-next prevnext "
    "previous-next linklist link-list see-also seealso more-from more-on more-in more-like more-stories "
    "more-news morefrom moreon latest-news latest-posts latest-stories latest-articles top-stories "
    "other-news other-posts other-articles similar-posts rss share-buttons toc table-of-contents upvote "
    "avatar search searchform search-form infobox navbox catlinks cta call-to-action "
    "inread pull-quote pullquote inline-promo inline-related wp-caption tools article-tools utility utils "
    "actions gravatar"
)
# What pages add to a component's name: where it is, and what it is made of.
_NEUTRAL = words(
    "site page main post posts article articles story stories entry blog block blocks box boxes "
    "container wrapper wrap inner outer holder area section sec module mod widget component comp list lists "
    "item items group bar panel region pane link links button buttons btn icon icons left right top bottom "
    "header head heading headline title foot body text content single inline article-page desktop "
    "mobile small large big primary secondary v container-fluid info details detail div span ul form "
    "horizontal vertical floating sticky fixed clearfix global custom default image img photo media pic figure"
)
# Words that name a component wherever in a name they stand, unless they are about the layout.
_ANYWHERE = {
    "comment": COMMENTS,
    "comments": COMMENTS,
    "commentlist": COMMENTS,
    "footer": STRONG,
    "newsletter": STRONG,
    "breadcrumb": STRONG,
    "breadcrumbs": STRONG,
    "navbar": STRONG,
    "nav": STRONG,
    "navigation": STRONG,
    "modal": STRONG,
    "sidebar": STRONG,
    "relatedposts": STRONG,
    "share": NOISE,
    "sharing": NOISE,
    "author": NOISE,
    "promo": NOISE,
    "menu": NOISE,
}
# What makes such a name one of layout.
_ABOUT_LAYOUT = words(
    "wrap wrapper layout on off open closed enabled with without no has border under hidden is"
)
_HOLDERS = words("content main page site body")
# Names that are trimmings as they stand only, not among other words.
_WHOLE_STRONG = words("hidden sidebar-content print-hidden")
_WHOLE_NOISE = words(
    "widget widgets widget-area links print date meta next prev author page-links post-footer "
    "entry-footer article-footer story-footer post-info article-info entry-info story-info post-nav "
    "post-date entry-date article-date entry-utility post-tags published profile"
)
# First words that make a name one of layout, or of a field with a label.
_LAYOUT = words(
    "has no with without show is hide use not full wide row rows col cols column columns grid "
    "field fields label labels text content tag category cat format status type section node page site "
    "if data js-has title wrapper layout view views elementor"
)
_FLAGS = words(
    "has no with without show is hide use not tag category cat format status type field label"
)
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WORD = re.compile(r"[a-z]+")
# Utility classes that show again what "hidden" hides on small screens.
_SHOWN = re.compile(r":(?:block|flex|grid|inline|table|contents)", re.IGNORECASE)
_BLOGGER = re.compile(r"\bwidget Blog\b")


@lru_cache(maxsize=50_000)
def kind_of_names(names: str) -> int:
    """What class and id ("class id") say of an element: CONTENT, WIDE, NOISE ... or 0."""
    found = 0
    for name in names.split():
        found = max(found, _kind_of_name(name))
    if found and (_SHOWN.search(names) or _BLOGGER.search(names)):
        found = 0
    if found:
        return found
    if _CONTENT.search(names):
        return CONTENT
    return WIDE if _WIDE.search(names) else 0


@lru_cache(maxsize=50_000)
def _kind_of_name(name: str) -> int:
    parts = _WORD.findall(_CAMEL.sub("-", name).lower())
    if not parts:
        return 0
    whole = "-".join(parts)
    if whole in _WHOLE_STRONG:
        return STRONG
    kind = NOISE if whole in _WHOLE_NOISE else _component(whole)
    if kind or len(parts) == 1:
        return kind
    if (
        len(parts) < 5
        and parts[0] not in _FLAGS
        and _ABOUT_LAYOUT.isdisjoint(parts[:-1])
        and not (parts[-1] in _ABOUT_LAYOUT and parts[0] in _HOLDERS)
    ):
        for word in parts:
            if word in _ANYWHERE:
                return _ANYWHERE[word]
    if parts[0] in _LAYOUT and not (parts[0] in _NEUTRAL and parts[1] in _NEUTRAL):
        return 0
    core = [word for word in parts if word not in _NEUTRAL and len(word) > 1]
    if not core:
        return 0
    kind = _component("-".join(core))
    if not kind and len(core) > 1 and core[0] == parts[0] and core[0] not in _LAYOUT:
        kind = _component("-".join(core[1:]))  # the first word is whose component it is
    return kind


def _component(name: str) -> int:
    if name in _COMMENTS:
        return COMMENTS
    if name in _STRONG:
        return STRONG
    return NOISE if name in _NOISE else 0
