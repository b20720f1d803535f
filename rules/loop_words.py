"""How absence notices and answering machines speak, by language: tables only, for rules/loop.py.

Every phrase is lower case with single spaces. Adding one is safe where no person would write it at that place.
"""


def _phrases(table: str) -> tuple[str, ...]:
    """The phrases of a table written as `one | another |` over several lines."""
    return tuple(phrase for row in table.split("|") if (phrase := " ".join(row.split())))


# The subject as a machine writes it: the phrase alone, or the phrase, a colon, and the subject answered. After Re: it
# is a person who answers the machine, so prefixes are not taken off. "Automatic reply does not work" is a person's.
REPLY_SUBJECTS = _phrases("""
    automatic reply | automatic response | automated reply | automated response | auto reply | auto-reply |
    autoreply | auto response | auto-response | autoresponse | out of office autoreply | out of office reply |
    out of office automatic reply | out-of-office autoreply | out of the office reply | vacation reply |
    respuesta automática | respuesta automatica | contestación automática | autosvar | automatiskt svar |
    automatsvar | frånvaromeddelande | automatische antwort | automatische rückantwort |
    automatisch generierte antwort | abwesenheitsnotiz | abwesenheitsnachricht | abwesenheitsmeldung |
    abwesenheitsassistent | automatische abwesenheitsnotiz | réponse automatique | reponse automatique |
    risposta automatica | resposta automática | resposta automatica | automatisch antwoord | afwezigheidsbericht |
    autosvar ved fravær | fraværsmelding | fraværsmeddelelse | automaattinen vastaus | poissaoloilmoitus |
    automatyczna odpowiedź | automatyczna odpowiedz | odpowiedź automatyczna | 自動返信 | 自動応答 | 不在通知 |
    自动回复 | 自動回覆 | 자동 회신 | автоответ | автоматический ответ | автоматична відповідь |
    automatická odpověď | automatická odpoveď | automatikus válasz | răspuns automat | otomatik yanıt |
    αυτόματη απάντηση | automatski odgovor | samodejni odgovor | automātiska atbilde | automaatvastus |
    automatinis atsakymas | resposta automàtica | erantzun automatikoa | sjálfvirkt svar | رد تلقائي |
    תשובה אוטומטית | trả lời tự động | balasan otomatis
""")

# A subject that begins so is a person's as well ("Vacation: who takes my seat?"): it needs a sign more
AWAY_SUBJECTS = _phrases("""
    out of office | out of the office | out-of-office | ooo | on vacation | on holiday | annual leave | on leave |
    vacation | holiday | på semester | vacaciones | ausente | urlaub | abwesenheit | nicht im büro | congé |
    congés | vacances | ferie | ferier | ferien | assenza | férias | ausência | vakantie | fravær | loma | lomalla |
    urlop | nieobecność | 休暇 | 不在 | 休假 | отпуск | semester | fuera de la oficina | fuera de oficina |
    ausente de la oficina | frånvaro | frånvarande | abwesend | absence du bureau | absent du bureau | fuori sede |
    fuori ufficio | assente dall'ufficio | fora do escritório | ausência temporária | afwezig | niet aanwezig |
    ikke til stede | fraværende | poissa | nieobecność w biurze | nieobecny w biurze | poza biurem | 外出 |
    mimo kancelář | házon kívül | ofis dışında | 부재중 | away notice | vacation message | vacation response |
    message automatique | mensaje automático | away from my mail | automatisch bericht
""")

# The first lines of an absence notice; people write this too
AWAY_TEXTS = _phrases("""
    i am out of the office | i'm out of the office | i am currently out of | i'm currently out of |
    i will be out of the office | i'll be out of the office | i am out of office | i will be out of office |
    i am away from | i am currently away | i will be away from | i am on vacation | i am on holiday |
    i'm on holiday | i am on annual leave | i am on leave | will not return until | limited access to my email |
    limited access to email | no access to my email | not be able to read your | estoy fuera de la oficina |
    estaré fuera de la oficina | me encuentro fuera de la oficina | me encuentro de vacaciones |
    estoy de vacaciones | estaré de vacaciones | jag är på semester | jag har semester | jag är inte på kontoret |
    jag är tjänstledig | jag är föräldraledig | åter på kontoret | tillbaka på kontoret | ich bin nicht im büro |
    ich bin zurzeit nicht | ich bin zur zeit nicht | ich bin derzeit nicht | ich bin im urlaub |
    ich befinde mich im urlaub | bin ich nicht im büro | bin ich wieder erreichbar | außer haus | je suis absent |
    je serai absent | je suis en congé | en congés jusqu | absente jusqu | absent jusqu | sono fuori ufficio |
    sono assente | sarò assente | sono in ferie | estou de férias | estarei de férias | estarei ausente |
    estou ausente | estou fora do escritório | ik ben afwezig | ik ben niet aanwezig | ik ben op vakantie |
    jeg er på ferie | jeg holder ferie | jeg er ikke på kontoret | jeg er fraværende | jeg har ferie |
    olen lomalla | olen poissa | palaan töihin | jestem na urlopie | przebywam na urlopie | jestem poza biurem |
    nieobecny do | 不在にして | 休暇を | 我正在休假 | 我不在办公室 | я в отпуске | нахожусь в отпуске |
    bin ich nicht erreichbar | jag är för närvarande inte | je suis actuellement absent |
    je suis actuellement en cong | ik ben momenteel niet | ik ben momenteel afwezig | ich bin derzeit abwesend |
    atvaļinājum
""")

# What an absence notice opens with, and nobody who writes by himself
THANKS_TEXTS = _phrases("""
    thank you for your e-mail | thank you for your email | thank you for your mail | thank you for your message |
    thanks for your email | thanks for your message | thank you for contacting | gracias por su mensaje |
    gracias por su correo | gracias por tu mensaje | gracias por tu correo | gracias por su email |
    tack för ditt mail | tack för ditt mejl | tack för ditt meddelande | tack för ditt e-post |
    vielen dank für ihre | vielen dank für deine | danke für ihre | danke für deine | merci pour votre |
    merci de votre | grazie per la | grazie per il tuo | obrigado pelo seu | obrigado pela sua | obrigada pelo seu |
    agradeço o seu | bedankt voor uw | bedankt voor je | dank voor uw | tak for din | takk for din |
    kiitos viestistä | kiitos viestisi | dziękuję za | ご連絡ありがとう | メールありがとう
""")
