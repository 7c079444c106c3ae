"""Article pages whose text is known: prose wrapped into the layouts that web sites use.

The markup is written after what content systems of several generations emit, with their class
names, and with the trimmings that surround real articles. No two layouts share their trimmings.
"""

import html
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Article:
    """What a page is about: (kind, text) pieces, kind one of p, h2, quote, li."""

    title: str
    author: str
    pieces: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """The text that an extractor is to find."""
        return "\n\n".join(text for _, text in self.pieces)


class Filler:
    """Prose for everything that is not the article."""

    def __init__(self, sentences: Sequence[str], seed: int) -> None:
        self.sentences = sentences
        self.random = random.Random(seed)

    def sentence(self) -> str:
        return html.escape(self.random.choice(self.sentences))

    def text(self, least: int, most: int) -> str:
        return " ".join(self.sentence() for _ in range(self.random.randint(least, most)))

    def headline(self) -> str:
        words = self.sentence().rstrip(".!?").split()
        return " ".join(words[: self.random.randint(5, 10)])

    def link(self) -> str:
        return f'<a href="/{self.random.getrandbits(32):x}">{self.headline()}</a>'

    def links(self, count: int) -> str:
        return "".join(f"<li>{self.link()}</li>" for _ in range(count))


Layout = Callable[[Article, Filler], str]


def body(article: Article, between: Sequence[str] = (), every: int = 3) -> str:
    """The pieces as ordinary markup, with things put between them now and then."""
    parts: list[str] = []
    inserted = list(between)
    for place, (kind, text) in enumerate(article.pieces):
        text = html.escape(text)
        if kind == "h2":
            parts.append(f"<h2>{text}</h2>")
        elif kind == "quote":
            parts.append(f"<blockquote><p>{text}</p></blockquote>")
        elif kind == "li":
            parts.append(f"<ul><li>{text}</li></ul>")
        else:
            words = text.split(" ")
            if len(words) > 20:
                words[5] = f'<a href="/about/{place}">{words[5]}</a>'
                words[12] = f"<em>{words[12]}</em>"
            parts.append(f"<p>{' '.join(words)}</p>")
        if inserted and place % every == every - 1:
            parts.append(inserted.pop(0))
    return "\n".join(parts)


def page(head: str, content: str, classes: str = "") -> str:
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{head}<style>body{{margin:0}}'
        f'</style><script>window.dataLayer=[];</script></head><body class="{classes}">{content}</body></html>'
    )


def wordpress(article: Article, filler: Filler) -> str:
    comments = "".join(
        f'<li class="comment even depth-1"><article class="comment-body"><footer class="comment-meta">'
        f'<b class="fn">Reader {n}</b> <a href="#c{n}"><time>May {n}, 2019 at 3:1{n} pm</time></a></footer>'
        f'<div class="comment-content"><p>{filler.text(1, 4)}</p></div><div class="reply"><a href="#">Reply</a>'
        f"</div></article></li>"
        for n in range(1, 7)
    )
    share = (
        '<div class="sharedaddy sd-sharing-enabled"><h3 class="sd-title">Share this:</h3><ul><li><a href="#">'
        'Twitter</a></li><li><a href="#">Facebook</a></li></ul></div><div id="jp-relatedposts"><h3><em>Related'
        f"</em></h3><p>{filler.link()}</p><p>{filler.sentence()}</p></div>"
    )
    return page(
        f"<title>{article.title} | My Blog</title>",
        f"""<a class="skip-link screen-reader-text" href="#content">Skip to content</a><div id="page" class="hfeed site">
<header id="masthead" class="site-header"><h1 class="site-title"><a href="/">My Blog</a></h1><p class="site-description">
Thoughts about everything and nothing in particular</p><nav id="site-navigation"><ul class="menu">{filler.links(7)}</ul></nav></header>
<div id="content" class="site-content"><div id="primary" class="content-area"><main id="main" class="site-main">
<article id="post-77" class="post-77 post type-post status-publish format-standard hentry category-news tag-share tag-author">
<header class="entry-header"><h1 class="entry-title">{article.title}</h1><div class="entry-meta">Posted on <a href="#"><time>May 1, 2019</time></a>
by <span class="author vcard"><a href="#">{article.author}</a></span></div></header>
<div class="entry-content">{body(article)}{share}</div>
<footer class="entry-footer"><span class="cat-links">Posted in <a href="#">News</a></span> <span class="tags-links">Tagged <a>one</a>, <a>two</a></span></footer></article>
<nav class="navigation post-navigation"><h2 class="screen-reader-text">Post navigation</h2><div class="nav-links">{filler.link()} {filler.link()}</div></nav>
<div id="comments" class="comments-area"><h2 class="comments-title">6 thoughts on “{article.title}”</h2><ol class="comment-list">{comments}</ol>
<div id="respond" class="comment-respond"><h3>Leave a Reply</h3><p>Your email address will not be published. Required fields are marked *</p></div></div>
</main></div><aside id="secondary" class="widget-area"><section class="widget widget_recent_entries"><h2>Recent Posts</h2><ul>{filler.links(6)}</ul></section>
<section class="widget widget_text"><div class="textwidget"><p>{filler.text(2, 4)}</p></div></section></aside></div>
<footer id="colophon" class="site-footer"><div class="site-info">Proudly powered by WordPress. All rights reserved.</div></footer></div>""",
        "post-template-default single single-post has-sidebar",
    )


def newspaper(article: Article, filler: Filler) -> str:
    data = json.dumps(
        {
            "@context": "https://schema.org",
            "@type": "NewsArticle",
            "headline": article.title,
            "articleBody": "\n".join(text for kind, text in article.pieces if kind != "h2"),
        }
    )
    between = [
        '<div class="ad-container ad-container--inline"><span>Advertisement</span></div>',
        f'<aside class="inline-related"><h4>Related story</h4>{filler.link()}<p>{filler.sentence()}</p></aside>',
        f'<figure class="image"><img src="a.jpg" alt="x"><figcaption><span class="caption__text">{filler.sentence()}</span> <span class="credit">(Jane Doe / The Gazette)</span></figcaption></figure>',
        f'<div class="newsletter-signup"><h3>Get the morning briefing</h3><p>{filler.sentence()}</p><form><input type="email"><button>Sign up</button></form></div>',
    ]
    cards = "".join(
        f'<div class="card"><a href="#"><h3>{filler.headline()}</h3></a><p class="card__dek">{filler.sentence()}</p></div>'
        for _ in range(6)
    )
    return page(
        f'<title>{article.title} - The Gazette</title><meta property="og:type" content="article"><script type="application/ld+json">{data}</script>',
        f"""<div id="cookie-banner" class="cookie-consent" role="dialog"><p>We and our partners use cookies to personalise content. By continuing to browse you accept
our use of cookies. Read our <a href="#">policy</a> to learn more about how your data are used.</p><button>Accept</button></div>
<div class="site-top"><div class="topnav"><a href="/">Home</a> <a href="/w">World</a> <a href="/s">Sport</a> <a href="/b">Business</a></div>
<div class="breaking-news-bar"><b>Breaking</b> {filler.link()}</div></div>
<div class="layout"><div class="layout__main"><div class="story"><h1 class="story__headline">{article.title}</h1><h2 class="story__dek">{filler.sentence()}</h2>
<div class="byline"><span>By <a href="#">{article.author}</a></span><span class="role">Staff Writer</span><time datetime="2019-05-01">May 1, 2019 5:14 AM</time></div>
<ul class="social-tools"><li><a>Facebook</a></li><li><a>Twitter</a></li><li><a>Show more sharing options</a></li></ul>
<div class="story__body">{body(article, between)}</div>
<div class="author-card"><img><div class="author-card__bio"><p>{article.author} has covered the county for The Gazette since 2004. {filler.sentence()}</p></div></div>
<div class="tags"><span>More on:</span><a>Politics</a><a>County</a></div></div>
<div class="more-from"><h2>More from The Gazette</h2>{cards}</div></div>
<div class="layout__rail"><h3>Most Read</h3><ol>{filler.links(8)}</ol><div class="promo"><p>{filler.text(1, 2)}</p></div></div></div>
<div class="footer-wrap"><p>Copyright © 2019, The Gazette. All rights reserved. This copy is for your personal, noncommercial use only.</p></div>""",
    )


def blogger(article: Article, filler: Filler) -> str:
    lines = []
    for kind, text in article.pieces:
        text = html.escape(text)
        lines.append(f"<b>{text}</b>" if kind == "h2" else text)
    comments = "".join(
        f'<dt class="comment-author"><a>Anonymous</a> said...</dt><dd class="comment-body"><p>{filler.text(1, 3)}</p></dd><dd class="comment-footer"><a>3/4/09 11:0{n} PM</a></dd>'
        for n in range(5)
    )
    return page(
        f"<title>A Quiet Life: {article.title}</title>",
        f"""<div id="outer-wrapper"><div id="header-wrapper"><h1 class="title"><a href="/">A Quiet Life</a></h1><p class="description">{filler.sentence()}</p></div>
<div id="content-wrapper"><div id="main-wrapper"><div class="main section" id="main"><div class="widget Blog" id="Blog1"><div class="blog-posts hfeed">
<h2 class="date-header">Monday, March 2, 2009</h2><div class="post hentry"><h3 class="post-title entry-title"><a href="#">{article.title}</a></h3>
<div class="post-body entry-content">{"<br /><br />".join(lines)}<div style="clear: both;"></div></div>
<div class="post-footer"><p class="post-footer-line"><span class="post-author vcard">Posted by <span class="fn">{article.author}</span></span>
<span class="post-timestamp">at <a>9:12 PM</a></span> <span class="post-labels">Labels: <a>life</a>, <a>garden</a></span></p></div></div>
<div class="comments" id="comments"><h4>5 comments:</h4><dl id="comments-block">{comments}</dl></div></div>
<div class="blog-pager" id="blog-pager"><a>Newer Post</a> <a>Older Post</a> <a>Home</a></div></div></div></div>
<div id="sidebar-wrapper"><div class="sidebar section"><div class="widget Profile"><h2>About Me</h2><p>{filler.text(2, 3)}</p></div>
<div class="widget BlogArchive"><h2>Blog Archive</h2><ul>{filler.links(12)}</ul></div></div></div></div></div>""",
    )


def hashed_names(article: Article, filler: Filler) -> str:
    paragraphs = []
    for kind, text in article.pieces:
        text = html.escape(text)
        tag = "h3" if kind == "h2" else "blockquote" if kind == "quote" else "p"
        paragraphs.append(
            f'<{tag} id="{filler.random.getrandbits(16):x}" class="hx iy ar iz b ja">{text}</{tag}>'
        )
    half = len(paragraphs) // 2
    cards = "".join(
        f'<div class="kq kr"><div class="ks"><a rel="noopener" href="#"><h2 class="ar fc">{filler.headline()}</h2><h3 class="be b">{filler.sentence()}</h3></a></div><div class="kt"><p class="be b"><span>7 min read · Oct 3, 2021</span></p></div></div>'
        for _ in range(5)
    )
    return page(
        f"<title>{article.title} | by {article.author} | Medium</title>",
        f"""<div id="root"><div class="a b c"><div class="d e f"><nav><a>Open in app</a><a>Sign up</a><a>Sign In</a></nav></div><div class="g h">
<article><div class="l"><section><div class="n p"><h1 class="ga gb">{article.title}</h1><div class="gc"><div class="ab q"><a><img></a><div><p class="be b"><a>{article.author}</a></p><span>Follow</span><p><span>9 min read</span> · <span>Oct 4, 2021</span></p></div></div>
<div class="ic"><button>Listen</button><button>Share</button></div></div>
{"".join(paragraphs[:half])}<figure class="jb"><img><figcaption class="jc">Photo by <a>Somebody</a> on <a>Unsplash</a></figcaption></figure>{"".join(paragraphs[half:])}
</div></section></div></article>
<div class="kb"><div><a><p>Writing</p></a><a><p>Life</p></a></div><button>412</button></div>
<div class="kc"><h2>Written by {article.author}</h2><div><span>1.2K Followers</span></div><p>{filler.sentence()}</p></div>
<div class="kd"><h2>More from {article.author} and others</h2>{cards}</div></div></div></div>""",
    )


def tables(article: Article, filler: Filler) -> str:
    rows = "".join(
        f'<tr><td bgcolor="#eeeeee"><font size="1"><a href="#">{filler.headline()}</a></font></td></tr>'
        for _ in range(14)
    )
    text = "".join(
        f"<p><b>{html.escape(t)}</b></p>"
        if k == "h2"
        else f"<p><font face='Arial'>{html.escape(t)}</font>"
        for k, t in article.pieces
    )
    return f"""<HTML><HEAD><TITLE>{article.title}</TITLE></HEAD><BODY bgcolor=white><TABLE width=100%><TR><TD colspan=3><IMG src=logo.gif alt="Logo of the page">
<FONT size=2><A href=/>Home</A> | <A href=/n>News</A> | <A href=/l>Links</A> | <A href=/g>Guest book</A></FONT></TD></TR>
<TR valign=top><TD width=150><TABLE>{rows}</TABLE></TD><TD><FONT size=5><B>{article.title}</B></FONT><BR><FONT size=1>by {article.author}, 12/03/1999</FONT>
{text}<BR><A href=print.html>Print this page</A> | <A href=mail.html>Mail to a friend</A></TD>
<TD width=120><B>Top 5</B><BR>{"<BR>".join(filler.link() for _ in range(5))}<P><B>Poll</B><BR>{filler.sentence()}<BR>Yes<BR>No</TD></TR>
<TR><TD colspan=3 align=center><FONT size=1>(c) 1999 The Village Voice. All rights reserved. <A href=/i>Imprint</A></FONT></TD></TR></TABLE></BODY></HTML>"""


def amp(article: Article, filler: Filler) -> str:
    between = [
        '<amp-ad width="300" height="250" type="doubleclick"><div placeholder>Advertisement</div></amp-ad>',
        f'<div class="amp-wp-inline-readmore"><span>Also read:</span> {filler.link()}</div>',
    ]
    return f"""<!doctype html><html amp lang="en"><head><meta charset="utf-8"><title>{article.title}</title><link rel="canonical" href="/x"></head>
<body class="amp"><header id="top" class="amp-wp-header"><div><a href="/">Daily Mirror Post</a></div></header><amp-sidebar id="s" layout="nodisplay"><ul>{filler.links(8)}</ul></amp-sidebar>
<article class="amp-wp-article"><header class="amp-wp-article-header"><h1 class="amp-wp-title">{article.title}</h1><div class="amp-wp-meta amp-wp-byline"><span>{article.author}</span></div><div class="amp-wp-meta amp-wp-posted-on"><time>2 years ago</time></div></header>
<div class="amp-wp-article-content">{body(article, between, 2)}</div>
<footer class="amp-wp-article-footer"><div class="amp-wp-meta amp-wp-tax-category">Categories: <a>News</a></div><div class="amp-wp-meta amp-wp-comments-link"><a>Leave a Comment</a></div></footer></article>
<div class="amp-related-posts"><h3>Related Post</h3><ul>{"".join(f"<li><amp-img></amp-img><div>{filler.link()}<p>{filler.sentence()}</p></div></li>" for _ in range(4))}</ul></div>
<footer class="amp-wp-footer"><div><p>© 2020 Daily Mirror Post</p><a href="#top">Back to top</a></div></footer></body></html>"""


def div_soup(article: Article, filler: Filler) -> str:
    """A portal without paragraphs: every line is a div, and teasers are too."""
    text = "".join(
        f'<div class="t{"b" if k == "h2" else "x"}">{html.escape(t)}</div>'
        for k, t in article.pieces
    )
    teasers = "".join(
        f'<div class="bx"><div class="bh">{filler.link()}</div><div class="bt">{filler.sentence()}</div></div>'
        for _ in range(7)
    )
    return page(
        f"<title>{article.title}</title>",
        f"""<div class="w"><div class="hd"><div class="lg"><a href="/">Portal</a></div><div class="mn">{"".join(f"<div>{filler.link()}</div>" for _ in range(6))}</div></div>
<div class="ct"><div class="l1"><div class="ti">{article.title}</div><div class="dt">01.05.2019 14:03 | {article.author}</div>{text}<div class="src">Source: Reuters</div>
<div class="shr"><span>Share:</span><a>VK</a><a>OK</a></div></div><div class="r1">{teasers}</div></div><div class="ft">Portal is not responsible for the content of external pages. 18+</div></div>""",
    )


def german(article: Article, filler: Filler) -> str:
    between = [
        f'<div class="paragraph ad">Anzeige</div><div class="article__teaser"><span>Lesen Sie auch</span> {filler.link()}</div>',
        f'<div class="infobox"><strong>Zum Thema</strong><ul>{filler.links(3)}</ul></div>',
    ]
    return page(
        f"<title>{article.title} | Zeitung</title>",
        f"""<header class="header" role="banner"><nav class="nav"><ul>{filler.links(9)}</ul></nav></header>
<main id="main" class="main main--article"><article class="article"><div class="article-header"><span class="article-heading__kicker">Politik</span>
<h1 class="article-heading__title">{article.title}</h1><div class="summary">{filler.sentence()}</div><div class="byline">Von <a rel="author">{article.author}</a></div>
<div class="metadata"><time class="metadata__date">1. Mai 2019, 14:03 Uhr</time> <span class="metadata__source">Quelle: ZEITUNG, dpa</span> <a class="metadata__commentcount">128 Kommentare</a></div></div>
<div class="article-body article-body--article">{body(article, between)}</div>
<div class="article-footer"><a>Startseite</a><div class="sharing-menu"><span>Teilen</span><span>Drucken</span></div></div></article>
<section id="comments" class="comment-section"><h2>Kommentare</h2>{"".join(f'<article class="comment"><div class="comment__body"><p>{filler.text(1, 4)}</p></div><a>Antworten</a></article>' for _ in range(9))}</section>
<aside class="teaser-list"><h2>Mehr zum Thema</h2>{"".join(f"<article class='teaser-small'><h3>{filler.link()}</h3><p>{filler.sentence()}</p></article>" for _ in range(5))}</aside></main>
<footer class="footer"><p>Impressum | Datenschutz | AGB</p></footer>""",
    )


def react(article: Article, filler: Filler) -> str:
    """Blocks in wrappers with generated names and data attributes, text block by text block."""
    blocks = "".join(
        f'<div data-component="{"subheadline" if k == "h2" else "text"}-block" class="ssrcss-{filler.random.getrandbits(20):x}-RichTextComponentWrapper"><div class="ssrcss-7uxr49-RichTextContainer e5tfeyi1">'
        f"<{'h2' if k == 'h2' else 'p'}>{html.escape(t)}</{'h2' if k == 'h2' else 'p'}></div></div>"
        + (
            f'<div data-component="image-block"><figure><span>Image source, Getty Images</span><figcaption>Image caption, {filler.sentence()}</figcaption></figure></div>'
            if n % 4 == 2
            else ""
        )
        for n, (k, t) in enumerate(article.pieces)
    )
    promos = "".join(
        f'<div type="article" class="ssrcss-1f3bvyz-Promo"><div><p class="PromoHeadline"><a><span>{filler.headline()}</span></a></p><ul><li>Published 3 hours ago</li></ul></div></div>'
        for _ in range(6)
    )
    return page(
        f"<title>{article.title} - News</title>",
        f"""<div id="main-wrapper"><header><nav aria-label="News"><ul>{filler.links(10)}</ul></nav></header><main id="main-content"><div class="ssrcss-1ocoo3l-Wrap"><article class="ssrcss-pv1rh6-ArticleWrapper">
<header class="ssrcss-1eqcsb1-HeadingWrapper"><h1 id="main-heading">{article.title}</h1><div><ul><li><span class="visually-hidden">Published</span><time>1 May 2019</time></li></ul></div></header>
<div data-component="byline-block"><p><strong>By {article.author}</strong></p><p>Business reporter</p></div>{blocks}
<section data-component="topic-list"><h2>Related Topics</h2><ul>{filler.links(4)}</ul></section></article></div>
<div class="ssrcss-m-Column"><section aria-labelledby="topstories"><h2>Top Stories</h2>{promos}</section><section data-component="features"><h2>Features</h2>{promos}</section></div></main>
<footer role="contentinfo"><p>The site is not responsible for the content of external sites.</p></footer></div>""",
    )


def drupal(article: Article, filler: Filler) -> str:
    return page(
        f"<title>{article.title} | Institute</title>",
        f"""<div class="dialog-off-canvas-main-canvas"><div class="region region-header"><div class="block block-system-branding">Institute for Something</div></div>
<div class="region region-primary-menu"><ul class="menu">{filler.links(8)}</ul></div><div class="region region-breadcrumb"><a>Home</a> » <a>News</a></div>
<div class="region region-content"><div id="block-content" class="block"><div class="content"><div class="node node--type-news node--view-mode-full clearfix"><h1>{article.title}</h1><div class="node__submitted">Submitted by <a>{article.author}</a> on Wed, 05/01/2019 - 14:03</div>
<div class="node__content"><div class="field field--name-body field--type-text-with-summary field__item">{body(article)}</div>
<div class="field field--name-field-tags"><div class="field__label">Tags</div><div class="field__items"><a>science</a> <a>energy</a></div></div>
<div class="field field--name-field-contact"><div class="field__label">Press contact</div><p>Erika Mustermann, telephone +49 30 123456, press@example.org</p></div></div></div></div></div>
<div class="views-element-container block"><h2>Latest news</h2>{"".join(f'<div class="views-row"><h3>{filler.link()}</h3><div class="field-content"><p>{filler.sentence()} <a>Read more</a></p></div></div>' for _ in range(4))}</div></div>
<div class="region region-sidebar-second"><div class="block"><h2>Follow us</h2><p>{filler.text(1, 3)}</p></div></div></div>""",
    )


def magazine(article: Article, filler: Filler) -> str:
    """A theme of page builders: nested wrappers, teasers inside the text column, author at the end."""
    between = [
        f'<div class="wp-block-group has-background"><p><strong>SEE ALSO:</strong> {filler.link()}</p></div>',
        f'<figure class="wp-block-image"><img><figcaption class="wp-element-caption">{filler.sentence()}</figcaption></figure>',
        f'<p><strong>Read more:</strong> <a href="#">{filler.headline()}</a></p>',
        f'<figure class="wp-block-pullquote"><blockquote><p>{html.escape(article.pieces[0][1])[:90]}</p></blockquote></figure>',
    ]
    posts = "".join(
        f'<div class="td_module_10"><h3 class="entry-title td-module-title">{filler.link()}</h3><div class="td-module-meta-info">Admin - April 1, 2019</div><div class="td-excerpt">{filler.sentence()}...</div></div>'
        for _ in range(8)
    )
    return page(
        f'<title>{article.title}</title><meta property="og:type" content="article"/>',
        f"""<div id="td-outer-wrap"><div class="td-header-menu-wrap"><ul class="sf-menu">{filler.links(12)}</ul></div><div class="td-container td-post-template-default"><div class="td-crumb-container"><span>Home</span> › <span>Tech</span></div>
<div class="td-pb-row"><div class="td-pb-span8 td-main-content"><div class="td-ss-main-content"><article class="post-123 post hentry category-tech" itemscope itemtype="https://schema.org/Article"><div class="td-post-header"><ul class="td-category"><li><a>Tech</a></li></ul><header class="td-post-title"><h1 class="entry-title">{article.title}</h1>
<div class="td-module-meta-info"><div class="td-post-author-name">By <a>{article.author}</a> -</div><span class="td-post-date">April 3, 2019</span><div class="td-post-views">1534</div></div></header></div>
<div class="td-post-sharing-top"><a>Facebook</a><a>Twitter</a><a>Pinterest</a></div><div class="td-post-content tagdiv-type">{body(article, between, 2)}</div>
<footer><div class="td-post-source-tags"><span>TAGS</span><a>one</a></div><div class="td-block-row td-post-next-prev"><span>Previous article</span>{filler.link()}<span>Next article</span>{filler.link()}</div>
<div class="author-box-wrap"><img><div class="desc"><div class="td-author-name"><a>{article.author}</a></div><div class="td-author-description">{filler.text(2, 3)}</div></div></div></footer></article>
<div class="td_block_related_posts"><h4>RELATED ARTICLES</h4>{posts[: len(posts) // 2]}</div></div></div></div><div class="td-pb-span4 td-main-sidebar">{posts}</div></div></div>
<div class="td-footer-wrapper"><h4>ABOUT US</h4><p>{filler.text(2, 3)}</p></div></div>""",
    )


def documentation(article: Article, filler: Filler) -> str:
    """A manual's page: the names of navigation are about it, code is inside."""
    return page(
        f"<title>{article.title} — Manual 3.2</title>",
        f"""<div class="related" role="navigation"><h3>Navigation</h3><ul>{filler.links(4)}</ul></div><div class="document"><div class="documentwrapper"><div class="bodywrapper"><div class="body" role="main">
<section id="x">{body(article)}</section></div></div></div><div class="sphinxsidebar" role="navigation"><div class="sphinxsidebarwrapper"><h3>Table of Contents</h3><ul>{filler.links(9)}</ul><h4>Previous topic</h4><p>{filler.link()}</p></div></div></div>
<div class="footer">© Copyright 2019, The Authors. Created using Sphinx 2.0.</div>""",
    )


LAYOUTS: dict[str, Layout] = {
    layout.__name__: layout
    for layout in (
        wordpress,
        newspaper,
        blogger,
        hashed_names,
        tables,
        amp,
        div_soup,
        german,
        react,
        drupal,
        magazine,
        documentation,
    )
}


def articles(paragraphs: Sequence[str], count: int, seed: int = 0) -> list[Article]:
    """Articles of 4 to 14 paragraphs in their order, now and then with a heading, quote or item."""
    chance = random.Random(seed)
    made = []
    for number in range(count):
        start = chance.randrange(len(paragraphs) - 15)
        pieces: list[tuple[str, str]] = []
        for text in paragraphs[start : start + chance.randint(4, 14)]:
            if chance.random() < 0.12 and pieces:
                pieces.append(("h2", " ".join(text.split()[3:8]).strip(".,;:").capitalize()))
            kind = "quote" if chance.random() < 0.07 else "li" if chance.random() < 0.05 else "p"
            pieces.append((kind, text))
        title = " ".join(pieces[-1][1].split()[:7]).strip(".,;:")
        made.append(Article(html.escape(title), f"Ann{number} Writer", tuple(pieces)))
    return made


def pages(
    paragraphs: Sequence[str], sentences: Sequence[str], each: int
) -> list[tuple[str, str, str]]:
    """(layout, HTML, text) of `each` articles in every layout."""
    made = []
    for number, (name, layout) in enumerate(LAYOUTS.items()):
        for article in articles(paragraphs, each, number):
            filler = Filler(sentences, number * 1000 + len(made))
            made.append((name, layout(article, filler), article.text))
    return made
