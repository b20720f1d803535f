"""models/people/validation.py: which domains say for which company a person works, and which do not."""

import pytest

from models.people.validation import check_domain
from values.errors import Refused

# Threat T07: whoever gets an address there would be "the customer"
PUBLIC_SUFFIXES = [
    "com",
    "de",
    "se",
    "co.uk",
    "org.uk",
    "com.au",
    "co.jp",
    "com.br",
    "com.mx",
    "gob.es",
    "com.es",
    "org.es",
    "github.io",
    "gitlab.io",
    "blogspot.com",
    "herokuapp.com",
    "azurewebsites.net",
    "pages.dev",
    "vercel.app",
    "netlify.app",
    "s3.amazonaws.com",
    "cloudfront.net",
    "co.nz",
    "gov.uk",
]
FREE_MAIL = [
    "gmail.com",
    "googlemail.com",
    "outlook.com",
    "outlook.es",
    "hotmail.com",
    "hotmail.se",
    "hotmail.es",
    "live.com",
    "live.se",
    "msn.com",
    "yahoo.com",
    "yahoo.es",
    "yahoo.co.uk",
    "icloud.com",
    "me.com",
    "aol.com",
    "gmx.de",
    "gmx.net",
    "web.de",
    "t-online.de",
    "proton.me",
    "protonmail.com",
    "tuta.com",
    "mail.ru",
    "yandex.ru",
    "qq.com",
    "163.com",
    "naver.com",
    "telia.com",
    "comhem.se",
    "spray.se",
    "terra.es",
    "telefonica.net",
    "orange.es",
    "wanadoo.fr",
    "free.fr",
    "laposte.net",
    "libero.it",
    "onmicrosoft.com",
    "GMail.com",
    "hotmail.COM.",
]


@pytest.mark.parametrize("domain", PUBLIC_SUFFIXES)
def test_a_public_suffix_is_refused_with_what_to_write(domain: str) -> None:
    with pytest.raises(Refused, match=r"public suffix.*such as acme\."):
        check_domain(domain)


@pytest.mark.parametrize("domain", FREE_MAIL)
def test_a_free_mail_domain_is_refused_with_what_to_write(domain: str) -> None:
    with pytest.raises(Refused, match="postdesk contact add ADDRESS"):
        check_domain(domain)


@pytest.mark.parametrize("domain", ["", "acme", "su@acme.test", "acme test", "http://acme.test", "10.0.0.1", "a..b"])
def test_what_is_no_domain_is_refused(domain: str) -> None:
    with pytest.raises(Refused, match="no mail domain"):
        check_domain(domain)


@pytest.mark.parametrize(
    ("domain", "kept"),
    [
        ("Acme.TEST", "acme.test"),
        ("acme.co.uk.", "acme.co.uk"),
        ("acme.onmicrosoft.com", "acme.onmicrosoft.com"),
        ("Müller.de", "xn--mller-kva.de"),
        (" mail.acme.example ", "mail.acme.example"),
    ],
)
def test_a_companys_own_domain_is_taken_as_a_labels(domain: str, kept: str) -> None:
    assert check_domain(domain) == kept
