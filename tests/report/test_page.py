"""The shell of every page: tables, cells, choices, and a document that asks the network for nothing."""

import math
import re

import pytest

from clustersweep.report.page import Section, choices, document, number, paragraph, table, text


def test_a_number_is_sorted_by_all_its_digits_and_one_that_is_not_known_is_a_dash_sorted_by_nothing():
    body = table(["loss"], [("", [number(-0.123456789)]), ("", [number(math.nan)])])
    assert re.findall(r"<td[^>]*>[^<]*</td>", body) == [
        '<td class="" data-sort="-0.123456789">−0.1235</td>', '<td class="" data-sort="">–</td>',
    ]  # fmt: skip


def test_columns_of_text_are_set_to_the_left_and_long_names_may_break_after_an_underscore():
    body = table(["kernel_size", "remark"], [("dead", [number(3, "d"), text("a & b", kind="wrap")])], ["remark"])
    assert re.findall(r'<th scope="col"( class=text)?><button type="button">(.*?)</button>', body) == [
        ("", "kernel_<wbr>size"), (" class=text", "remark"),
    ]  # fmt: skip
    assert '<tr class="dead"><td class="" data-sort="3">3</td><td class="wrap text">a &amp; b</td></tr>' in body
    with pytest.raises(ValueError, match="longer than"):
        table(["one", "two"], [("", [text("alone")])])


def test_of_several_bodies_only_the_chosen_one_is_shown_and_a_single_one_asks_nothing():
    assert choices("lines", "Which?", [("all", "<p>1</p>")]) == "<p>1</p>"
    body = choices("lines", "Which?", [("<all>", "<p>1</p>"), ("some", "<p>2</p>")], chosen=1)
    assert re.findall(r'value="([^"]*)"( checked)?>', body) == [("&lt;all&gt;", ""), ("some", " checked")]
    assert re.findall(r'data-choice="([^"]*)"( hidden)?>(.*?)</div>', body) == [
        ("&lt;all&gt;", " hidden", "<p>1</p>"), ("some", "", "<p>2</p>"),
    ]  # fmt: skip


def test_a_document_links_its_sections_escapes_what_it_is_given_and_lets_nothing_be_fetched():
    sections = [Section("a", "A < B", paragraph("x < y")), Section("b", "Rest", "", "wide")]
    page = document("<study>", "5 < 6", sections, "by us", "let drawn = 1;")
    assert '<nav><a href="#a">A &lt; B</a><a href="#b">Rest</a></nav>' in page
    assert '<section id="b" class="wide"><h2>Rest</h2>' in page
    assert "<title>&lt;study&gt;</title>" in page
    assert '<p class="subtitle">5 &lt; 6</p>' in page
    assert '<p class="">x &lt; y</p>' in page
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy
    assert page.count("let drawn = 1;") == 1
    assert not re.search(r'(src|href)="(?!#|data:)', page)
