"""Which ticket fields does the text state? (domain.md 3.7)

Labelled lines in every language we ship: `Product: Nordvik Payroll`, `- Versión del ERP: 24.1`. The first statement of
a field counts. Linear in the text, of which the first lines are looked at.
"""

import re

from values.decision import Fields

LINES_LIMIT = 300
_LINE_LIMIT = 300  # characters
FIELD_LIMIT = 100

_LABELS: dict[str, tuple[str, ...]] = {
    "product": ("product", "our product", "producto", "produkt"),
    "erp": ("erp", "erp system", "sistema erp", "erp-system", "affärssystem"),
    "erp_version": (
        *("erp version", "version of the erp", "versión de erp", "versión del erp", "versión erp", "version de erp"),
        *("version del erp", "erp-version", "erp versión", "affärssystemets version", "bc version", "nav version"),
    ),
    "product_version": (
        *("product version", "version", "version of the product", "versión del producto", "versión de producto"),
        *("version del producto", "version de producto", "versión", "produktversion", "produktens version"),
    ),
    "customer": ("customer", "customer name", "cliente", "nombre del cliente", "kund", "kundnamn"),
}
_FIELD_OF = {label: field for field, labels in _LABELS.items() for label in labels}
_ERP_WITH_VERSION = re.compile(r"([^0-9]{2,80}?)\s{1,4}[vV]?([0-9][0-9.]{0,20})")


def read_fields(text: str) -> Fields:
    """What labelled lines say. `ERP: Business Central 24` states the version too, where no other line does."""
    stated = _stated(text)
    erp, version = stated.get("erp"), stated.get("erp_version")
    split = _ERP_WITH_VERSION.fullmatch(erp) if erp and not version else None
    if split and split[2] != "365":  # Dynamics 365 is a name
        erp, version = split[1], split[2]
    return Fields(
        product=stated.get("product"), erp=erp, erp_version=version, product_version=stated.get("product_version")
    )


def stated_customer(text: str) -> str | None:
    """The customer for whom a partner says he writes."""
    return _stated(text).get("customer")


def _stated(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in text[: LINES_LIMIT * _LINE_LIMIT].splitlines()[:LINES_LIMIT]:
        label, separator, value = line[:_LINE_LIMIT].replace("：", ":").partition(":")
        if not separator:
            label, separator, value = line[:_LINE_LIMIT].partition("=")
        field = _FIELD_OF.get(" ".join(label.strip(" \t-*•·>_").lower().split()))
        cleaned = " ".join(value.strip(" \t*_").split())[:FIELD_LIMIT]
        if separator and field and cleaned and field not in found:
            found[field] = cleaned
    return found
