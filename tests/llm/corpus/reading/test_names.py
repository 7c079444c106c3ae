"""What names say of elements: whole components are trimmings, words inside other names are not."""

import pytest

from llm.corpus.reading.article import read_article
from llm.corpus.reading.names import COMMENTS, CONTENT, NOISE, STRONG, WIDE, kind_of_names
from tests.llm.corpus.reading.test_article import TEXT, wrapped

NOTICE = (
    '<div class="message"><p>We store small files on your computer, so that the next visit to these '
    "pages is faster, and so that we know how many people read them in a month. You can turn this "
    "off in the settings of your browser whenever you like, and read on without them.</p></div>"
)


@pytest.mark.parametrize(
    "name",
    [
        "field field--name-body field--label-hidden field__item",
        "field field-label-hidden field-item",
        "hidden-xs hidden-sm",
        "row row-offcanvas row-offcanvas-right",
        "use-lightbox",
        "hs_cos_wrapper hs_cos_wrapper_meta_field hs_cos_wrapper_type_rich_text",
        "elementor-widget elementor-widget-text-editor",
        "has-share-buttons",
        "post-12 tag-newsletter category-comments",
        "content-sidebar-wrap",
        "no-sidebar",
        "hidden md:block",
        "print-area",
        "text-caption-large",
        "date-posts",
    ],
)
def test_a_word_inside_a_name_drops_no_text(name: str) -> None:
    parts = "".join(f'<div class="{name}"><p>{text}</p></div>' for text in TEXT)
    html = wrapped(f"{NOTICE}<div><h1>A title</h1>{parts}</div>")
    found = read_article(html).text.split("\n\n")
    assert [text for text in found if text in TEXT] == TEXT


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        ("share-buttons", NOISE),
        ("c-related-articles", STRONG),
        ("relatedPosts", STRONG),
        ("td-post-sharing", NOISE),
        ("site-footer", STRONG),
        ("main-nav", STRONG),
        ("region-sidebar-second", STRONG),
        ("js-newsletter-box", STRONG),
        ("wp-caption-text", NOISE),
        ("comment-list", COMMENTS),
        ("article__comments", COMMENTS),
        ("CommentBody", COMMENTS),
        ("entry-content", CONTENT),
        ("article-body", CONTENT),
        ("main-content", WIDE),
        ("wrapper", 0),
        ("", 0),
    ],
)
def test_whole_components_are_known(names: str, kind: int) -> None:
    assert kind_of_names(names) == kind


def test_a_quotation_is_text_whatever_it_is_called() -> None:
    quotation = f'<blockquote class="twitter-tweet social-share"><p>{TEXT[1]}</p></blockquote>'
    html = wrapped(f"<article><p>{TEXT[0]}</p>{quotation}<p>{TEXT[2]}</p></article>")
    assert read_article(html).text.split("\n\n") == TEXT[:3]


def test_scripts_without_blanks_or_marks_are_prose() -> None:
    thai = "สะพานสร้างด้วยหินโดยช่างก่อสร้างที่เรียนรู้งานของตนทางใต้และพ่อค้าจ่ายค่าผ่านทางเพื่อซ่อมแซม"
    burmese = "တံတားကို တောင်ဘက်တွင် အလုပ်သင်ခဲ့သော ပန်းရန်ဆရာများက ကျောက်ဖြင့် တည်ဆောက်ခဲ့ကြသည်"
    for text in (thai, burmese):
        texts = [text * 2 + str(number) for number in range(5)]
        body = "".join(f"<p>{each}</p>" for each in texts)
        html = wrapped(
            f'<div class="article">{body}</div><ul><li><a href="/">{text[:30]}</a></li></ul>'
        )
        assert read_article(html).text.split("\n\n") == texts


def test_a_page_without_prose_is_not_all_trimmings() -> None:
    lines = "<br>".join(f"line {number} of the song" for number in range(30))
    html = wrapped(f'<div class="widget"><div class="post-body">{lines}</div></div>')
    assert "line 7 of the song" in read_article(html).text


def test_posts_called_comments_are_text_where_nothing_else_is() -> None:
    posts = "".join(f'<li class="ItemComment Comment"><p>{text}</p></li>' for text in TEXT[1:])
    html = wrapped(f'<h1>How?</h1><div class="Item"><p>{TEXT[0][:120]}</p></div><ul>{posts}</ul>')
    found = read_article(html).text
    assert all(text in found for text in TEXT[1:])


def test_ids_made_of_titles_say_nothing() -> None:
    sections = "".join(
        f'<div class="section" id="{name}"><h2 id="nav-{name}">{name}</h2><p>{text}</p></div>'
        for name, text in zip(("comments", "share", "footer", "newsletter"), TEXT, strict=False)
    )
    found = read_article(wrapped(f"<main><p>{TEXT[4]}</p><p>{TEXT[5]}</p>{sections}</main>")).text
    assert [text for text in TEXT if text not in found] == []
