"""Labelled lines state a ticket's fields, in every language we ship."""

import time

import pytest

from rules.fields import read_fields, stated_customer
from values.decision import Fields

TEXTS = [
    ("Product: Nordvik Payroll\nERP: Business Central\nERP version: 24.1\nProduct version: 7.2",
     Fields(product="Nordvik Payroll", erp="Business Central", erp_version="24.1", product_version="7.2")),
    ("Producto: Nómina\nVersión de ERP: 24\nVersión del producto: 7.2\nsistema ERP: BC",
     Fields(product="Nómina", erp="BC", erp_version="24", product_version="7.2")),
    ("Produkt: Nordvik Lön\nAffärssystem: NAV 2018\nProduktversion: 6",
     Fields(product="Nordvik Lön", erp="NAV", erp_version="2018", product_version="6")),
    ("- Product:   Nordvik   Payroll  \n* ERP-version : 14\n", Fields(product="Nordvik Payroll", erp_version="14")),
    ("*Product:* Payroll", Fields(product="Payroll")),
    ("PRODUCT = Payroll", Fields(product="Payroll")),
    ("product：Payroll", Fields(product="Payroll")),
    ("ERP: Business Central 24\nERP version: 24.3", Fields(erp="Business Central 24", erp_version="24.3")),
    ("ERP: Dynamics 365", Fields(erp="Dynamics 365")),
    ("ERP: Business Central v14.0", Fields(erp="Business Central", erp_version="14.0")),
    ("Version: 7", Fields(product_version="7")),
    ("Product: A\nProduct: B", Fields(product="A")),
    ("Product:\nERP:   ", Fields()),
    ("The product: it fails", Fields()),
    ("Our product version is 7.2", Fields()),
    ("Product", Fields()),
    ("", Fields()),
    ("Product: " + "x" * 5000, Fields(product="x" * 100)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "fields"), TEXTS)
def test_fields_of_a_text(text: str, fields: Fields) -> None:
    assert read_fields(text) == fields


@pytest.mark.parametrize("text", ["Customer: Acme", "Cliente: Acme", "hej\nKund:  Acme "])
def test_a_partner_names_the_customer(text: str) -> None:
    assert stated_customer(text) == "Acme"


@pytest.mark.parametrize("piece", ["Product", "a:", "ERP: 1 ", " ", "-*•", "ERP: x   ", "\n"])
def test_long_texts_cost_little(piece: str) -> None:
    start = time.perf_counter()
    read_fields(piece * 300_000)
    assert time.perf_counter() - start < 0.5
