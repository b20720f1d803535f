"""How absence notices and answering machines speak, by language: tables only, for rules/loop.py.

Every phrase is lower case with single spaces. Adding one is safe where no person would write it at that place.
"""


def _phrases(table: str) -> tuple[str, ...]:
    """The phrases of a table written as `one | another |` over several lines."""
    return tuple(phrase for row in table.split("|") if (phrase := " ".join(row.split())))


# The subject as a machine writes it: the phrase alone, or the phrase, a colon or dash, and the subject answered. After
# Re: it is a person who answers the machine, so prefixes are not taken off.
REPLY_SUBJECTS = _phrases("""
    automatic reply | automatic response | automated reply | automated response | auto reply | auto-reply |
    autoreply | auto response | auto-response | autoresponse | auto: | out of office autoreply |
    out of office reply | out of office automatic reply | out-of-office autoreply | out of the office reply |
    vacation reply | vacation message | vacation response | away from my mail | away notice | respuesta automática |
    respuesta automatica | mensaje automático | contestación automática | fuera de la oficina | fuera de oficina |
    ausente de la oficina | autosvar | automatiskt svar | automatsvar | frånvaro | frånvarande |
    frånvaromeddelande | automatische antwort | automatische rückantwort | automatisch generierte antwort |
    abwesenheitsnotiz | abwesenheitsnachricht | abwesenheitsmeldung | abwesenheitsassistent |
    automatische abwesenheitsnotiz | abwesend | réponse automatique | reponse automatique | message automatique |
    absence du bureau | absent du bureau | risposta automatica | fuori sede | fuori ufficio | assente dall'ufficio |
    resposta automática | resposta automatica | fora do escritório | ausência temporária | automatisch antwoord |
    automatisch bericht | afwezigheidsbericht | afwezig | niet aanwezig | autosvar ved fravær | ikke til stede |
    fraværsmelding | fraværsmeddelelse | fraværende | automaattinen vastaus | poissa | poissaoloilmoitus |
    automatyczna odpowiedź | automatyczna odpowiedz | odpowiedź automatyczna | nieobecność w biurze |
    nieobecny w biurze | poza biurem | 自動返信 | 自動応答 | 不在通知 | 自动回复 | 自動回覆 | 外出 | 자동 회신 |
    부재중 | автоответ | автоматический ответ | автоматична відповідь | automatická odpověď | mimo kancelář |
    automatická odpoveď | automatikus válasz | házon kívül | răspuns automat | otomatik yanıt | ofis dışında |
    αυτόματη απάντηση | automatski odgovor | samodejni odgovor | automātiska atbilde | automaatvastus |
    automatinis atsakymas | resposta automàtica | erantzun automatikoa | sjálfvirkt svar | رد تلقائي |
    תשובה אוטומטית | trả lời tự động | balasan otomatis
""")

# Read in a subject in any place, but only with one of AWAY_TEXTS in the text: a person may write these too
AWAY_SUBJECTS = _phrases("""
    out of office | out of the office | out-of-office | ooo | on vacation | on holiday | annual leave | on leave |
    away | vacation | holiday | semester | på semester | vacaciones | ausente | urlaub | abwesenheit |
    nicht im büro | congé | congés | vacances | absence | absent | ferie | ferier | ferien | assenza | férias |
    ausência | vakantie | fravær | loma | lomalla | urlop | nieobecność | 休暇 | 不在 | 休假 | отпуск
""")

# The first lines of an absence notice
AWAY_TEXTS = _phrases("""
    i am out of the office | i'm out of the office | i am currently out of | i'm currently out of |
    i will be out of the office | i'll be out of the office | i am out of office | i will be out of office |
    i am away from | i am currently away | i will be away from | i am on vacation | i am on holiday |
    i'm on holiday | i am on annual leave | i am currently on | i am on leave | will not return until |
    limited access to my email | limited access to email | no access to my email | not be able to read your |
    estoy fuera de la oficina | estaré fuera de la oficina | me encuentro fuera de la oficina |
    me encuentro de vacaciones | estoy de vacaciones | estaré de vacaciones | jag är på semester |
    jag har semester | jag är inte på kontoret | jag är för närvarande | jag är tjänstledig | jag är föräldraledig |
    åter på kontoret | tillbaka på kontoret | ich bin nicht im büro | ich bin zurzeit nicht |
    ich bin zur zeit nicht | ich bin derzeit nicht | ich bin im urlaub | ich befinde mich im urlaub |
    ich bin ab dem | bin ich nicht im büro | bin ich wieder erreichbar | nicht erreichbar | außer haus |
    je suis absent | je serai absent | je suis actuellement | je suis en congé | en congés jusqu | absente jusqu |
    absent jusqu | sono fuori ufficio | sono assente | sarò assente | sono in ferie | sarò fuori | estou de férias |
    estarei de férias | estarei ausente | estou ausente | estou fora do escritório | ik ben afwezig |
    ik ben niet aanwezig | ik ben op vakantie | ik ben momenteel | jeg er på ferie | jeg holder ferie |
    jeg er ikke på kontoret | jeg er fraværende | jeg har ferie | olen lomalla | olen poissa | palaan töihin |
    jestem na urlopie | przebywam na urlopie | jestem poza biurem | nieobecny do | 不在にして | 休暇を |
    我正在休假 | 我不在办公室 | я в отпуске | нахожусь в отпуске
""")
