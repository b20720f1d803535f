"""What reporting systems say in words: tables only, for ingest/report/report.py.

Every phrase is lower case with single spaces and is looked for as a plain substring, so a look-up is linear. The reason
words are those of the bounce library Sisimai (userunknown, mailboxfull, ...), which people who read bounces know.
"""


def _phrases(table: str) -> tuple[str, ...]:
    """The phrases of a table written as `one | another |` over several lines."""
    return tuple(phrase for row in table.split("|") if (phrase := " ".join(row.split())))


# (reason, permanent, phrases): the first row with a phrase in the text wins, so the particular stands first.
# permanent: what the words alone say when no code does; None = they don't say.
REASON_PHRASES: tuple[tuple[str, bool | None, tuple[str, ...]], ...] = (
    (
        "rejected",
        True,
        _phrases("""
            sender address rejected | sender rejected | sender domain | sender verify failed
        """),
    ),
    (
        "virusdetected",
        True,
        _phrases("""
            contains a virus | virus detected | virus found | virus infect | virus was | viruses | infected |
            malware | a virus
        """),
    ),
    (
        "mailboxfull",
        None,
        _phrases("""
            mailbox full | mailbox is full | mailbox was full | mail box full | mailbox for user is full |
            mailbox size limit | mailfolder is full | box is full | inbox is full | quota exceeded | over quota |
            overquota | over the quota | over the maximum allowed mailbox size | exceed mailbox quota |
            exceeded quota | exceeded his quota | exceeded storage | exceeded the storage | exceeded its storage |
            exceeds allotted size | exceeds the quota | over its quota | over disk quota | disk quota |
            quota violation | quota limit | insufficient disk space | not enough storage space |
            too much mail data | account is full | maildir over quota | boite du destinataire pleine |
            boîte pleine | exceeds allowed size | mailbox exceeds | quota has been exceeded | has exceeded its quota |
            out of storage | storage limit | buzón está lleno | buzón de correo lleno | buzón de correo está lleno |
            cuota excedida | cuota superada | superado la cuota | excedido la cuota | excedido su cuota | 満杯 |
            boîte aux lettres pleine | postfach voll | postfach ist voll | buzón lleno |
            buzon lleno | casella piena | caixa postal cheia | メールボックスがいっぱい | 容量
        """),
    ),
    (
        "mesgtoobig",
        True,
        _phrases("""
            message size exceeds | message too large | message too big | message is too large |
            message is larger than | message file too big | maximum message size | message size limit |
            exceeded maximum inbound message size | size exceeds
        """),
    ),
    (
        "suspend",
        True,
        _phrases("""
            account disabled | account has been disabled | account is disabled |
            account that you tried to reach is disabled | account deactivated | account inactive |
            account is inactive | inactive user | user is inactive | user suspended | account suspended |
            account has been suspended | mailbox disabled | mailbox is disabled |
            mailbox unavailable or access denied | mailbox currently suspended | mailbox is inactive |
            is a deactivated mailbox | user disabled | email account is suspended | not active | no longer active |
            invalid/inactive user | temporarily locked | account expired
        """),
    ),
    (
        "hasmoved",
        True,
        _phrases("""
            has moved | has been replaced by | no longer at this | address has changed | ha cambiado de direcci
        """),
    ),
    (
        "spamdetected",
        True,
        _phrases("""
            spam message | as spam | considered spam | considered unsolicited | looks like spam |
            identified as spam | detected as spam | spam detected | spam score | spam content | rejected as bulk |
            unsolicited | message contains spam | spamassassin | high probability of spam | blacklisted url |
            too spammy | ube,
        """),
    ),
    (
        "authfailure",
        True,
        _phrases("""
            dmarc | spf check | spf fail | spf record | dkim | unauthenticated email | unauthenticated mail |
            does not pass authentication | sender policy framework
        """),
    ),
    (
        "norelaying",
        True,
        _phrases("""
            relaying denied | relay access denied | relay denied | unable to relay | relay not permitted |
            relaying not allowed | not permitted to relay | relaying prohibited | not a gateway |
            unrouteable relay | we do not relay
        """),
    ),
    (
        "toomanyconn",
        False,
        _phrases("""
            too many connections | too many concurrent | connection rate limit | connection limit |
            concurrency limit | too many sessions | no more connections | rate limit | rate that prevents |
            receiving mail at a rate | too many messages | throttl | too fast
        """),
    ),
    (
        "blocked",
        True,
        _phrases("""
            blacklist | blocklist | block list | black list | dnsbl | spamhaus | rbl | blocked by | is blocked |
            been blocked | bad reputation | poor reputation | ip address has been | reverse dns | ptr record |
            client host rejected | client host blocked | access denied. ip | your network is |
            unresolvable reverse | refused to talk to me | connection refused by | not allowed to connect
        """),
    ),
    (
        "notaccept",
        True,
        _phrases("""
            does not accept mail | doesn't accept mail | does not accept email | null mx | nullmx |
            host does not receive mail | not accept any mail | smtp protocol returned a permanent error |
            domain of recipient does not accept
        """),
    ),
    (
        "userunknown",
        True,
        _phrases("""
            user unknown | unknown user | unknown recipient | recipient unknown | unknown local part |
            unknown local-part | unknown address | address unknown | unknown mailbox | unknown account |
            no such user | no such mailbox | no such address | no such account | no such recipient |
            no such local user | no such person | no such e-mail | no such email | no mailbox here |
            no mailbox by that name | no mailbox found | no account by that name | no account with that |
            not a valid user | not a valid mailbox | not a known user | not known at | not listed in |
            not found in directory | not our customer | not recognized | not recognised | does not exist |
            doesn't exist | dosn't exist | do not exist | does not have an account | doesn't have a |
            user not found | user not known | recipient not found | recipient not known | mailbox not found |
            mailbox unknown | address not found | account not found | account does not | addressee unknown |
            invalid user | invalid recipient | invalid mailbox | invalid address | invalid final delivery user |
            recipient is not valid | recipient invalid | bad recipient | bad destination mailbox | bad address |
            badrcptto | illegal alias | illegal user | undeliverable address | user is unknown | user doesn't |
            user does not | is not a user | isn't in my | is not a member | unrouteable address |
            unrouteable mail domain | unknown email address | unable to find recipient |
            cannot find your recipient | recipnotfound | mailbox not present | mailbox unavailable |
            recipient address rejected | recipient rejected | recipient no longer on server | rcptto not found |
            address rejected | address you entered couldn't be found | address couldn't be found | n'existe pas |
            no valid recipient | no valid recipients | not in directory | not in the directory |
            not found in the address book |
            not in the address book | not found in the directory | no está en el directorio |
            no figura en el directorio |
            no se encuentra en el directorio | no se encontró el destinatario | destinatario no encontrado |
            dirección no encontrada | destinatario desconocido | アドレスが見つかり | ディレクトリに |
            アドレス帳に | 有効な宛先 |
            受信者が見つかり |
            non recensé | utilisateur inconnu | destinataire inconnu | no existe | usuario desconocido |
            não existe | nao existe | inesistente | existiert nicht | nicht bekannt | empfänger unbekannt |
            finns inte | okänd mottagare | 宛先不明 | あて先のアドレス | 存在しません | 見つかりません | 不存在
        """),
    ),
    (
        "hostunknown",
        True,
        _phrases("""
            host unknown | unknown host | host not found | domain not found | domain unknown | unknown domain |
            no such domain | name or service not known | can't find any host | couldn't find any host |
            could not find any host | couldn't find a mail exchanger | no route to domain | nxdomain |
            recipient domain | dns name | no mx record | no mx or a | domain name not found | does not resolve |
            illegal host/domain | domain couldn't be found | invalid domain | bad destination system
        """),
    ),
    (
        "networkerror",
        False,
        _phrases("""
            too many hops | hop count | mail loop | loops back to | loop detected | message looping | routing loop |
            looping | network unreachable | no route to host | connection reset | dns error | name server: |
            routing error
        """),
    ),
    (
        "expired",
        False,
        _phrases("""
            timed out | timeout | time-out | delivery time expired | expired | not delivered within |
            cannot deliver within | retry time not reached | retry timeout | was not reachable within |
            not been collected | gave up | could not be delivered for | could not be delivered in |
            connection refused | could not connect | couldn't connect | unable to connect | server did not respond |
            isn't responding | is not responding | did not respond | unable to contact | not reachable |
            try again later | in the queue too long | in queue too long | too long in queue
        """),
    ),
    (
        "contenterror",
        True,
        _phrases("""
            mime | 8bit | header error | malformed message | bare lf | invalid header
        """),
    ),
    (
        "systemerror",
        None,
        _phrases("""
            system error | local error | server error | internal error | resources temporarily unavailable |
            local configuration error | mailer error | delivery agent | service unavailable | system resources |
            config error | system problem
        """),
    ),
    (
        "policyviolation",
        True,
        _phrases("""
            policy | security | prohibited | banned | content rejected | not acceptable | forbidden attachment
        """),
    ),
    (
        "rejected",
        True,
        _phrases("""
            sender address rejected | sender rejected | access denied | not allowed to send |
            not authorized to send | permission to post | not permitted to post | not allowed to post |
            only members can post |
            members only | only accepts messages from | message rejected | message refused | refused | rejected |
            not authorized |
            not authorised | denied | restricted
        """),
    ),
)

# RFC 3463 §3.2-3.8, subject and detail of an enhanced status code; asked where no phrase tells more
REASON_OF_STATUS: dict[str, str] = {
    "1.1": "userunknown",
    "1.2": "hostunknown",
    "1.3": "userunknown",
    "1.4": "userunknown",
    "1.6": "hasmoved",
    "1.7": "rejected",
    "1.8": "rejected",
    "1.10": "notaccept",  # RFC 7505 §4.2; Exchange means an unknown user and says so
    "2.0": "filtered",
    "2.1": "suspend",
    "2.2": "mailboxfull",
    "2.3": "mesgtoobig",
    "2.4": "filtered",
    "3.1": "systemfull",
    "3.2": "notaccept",
    "3.3": "systemerror",
    "3.4": "mesgtoobig",
    "3.5": "systemerror",
    "4.1": "expired",
    "4.2": "networkerror",
    "4.3": "networkerror",
    "4.4": "hostunknown",
    "4.5": "networkerror",
    "4.6": "networkerror",
    "4.7": "expired",
    "7.0": "policyviolation",
    "7.1": "rejected",
    "7.2": "rejected",
}
DECISIVE_STATUS = ("1.7", "1.8", "2.2", "3.4")  # these are right where they occur: believed before any phrase
REASON_OF_SUBJECT: dict[str, str] = {
    "1": "userunknown",
    "2": "filtered",
    "3": "systemerror",
    "4": "networkerror",
    "6": "contenterror",
    "7": "policyviolation",
}


# The author of reports: how the local part begins, and words of the display name
DAEMONS = _phrases("""
    mailer-daemon | mailer_daemon | mailerdaemon | maildaemon | mail-daemon | mdaemon | postmaster | post_master |
    mailmaster | mail-deliver | mailsystem | microsoftexchange | bounce | devnull-bounce
""")
DAEMON_NAMES = _phrases("""
    mail delivery | mail deliver | system administrator | mailer-daemon | mailer daemon | mail system |
    mail administrator | postmaster | microsoft outlook | internet mail | mailmarshal
""")

# Subjects of reports; never after Re: or Fwd: unless a daemon wrote it
FAILURE_SUBJECTS = _phrases("""
    undeliver | undelivered | returned mail | returned to sender | return to sender | returning message |
    delivery failure | delivery failed | delivery fail | failed delivery | delivery error | delivery problem |
    delivery has failed | delivery status notification | delivery notification | delivery report |
    delivery reports | delivery incomplete | delivery delay | delayed mail | delayed delivery | failure notice |
    failure delivery | failed mail | mail failure | mail error | mail could not be | mail system error |
    message could not be delivered | message status - undeliverable | message delivery |
    message has not yet been delivered | could not send message | couldn't be delivered | could not be delivered |
    not delivered | non delivery | non-delivery | nondeliverable | unable to deliver | user unknown |
    recipient unknown | unzustellbar | nicht zugestellt | zustellung | unzustellbarkeit | no se puede entregar |
    no se ha podido entregar | no entregado | mensaje devuelto | devolución | olevererat | kunde inte levereras |
    ej levererat | non remis | non remise | échec de la remise | échec de distribution | impossible de remettre |
    non recapitabile | impossibile recapitare | mancato recapito | não entregue | não é possível entregar |
    não foi possível entregar | onbestelbaar | kan ikke leveres | ikke leveret | ikke levert | ei voitu toimittaa |
    nie można dostarczyć | niedostarczon | 配信不能 | 配信できません | エラーメール | 退信 | 无法送达 | 系统退信
""")

# The text of a report says one of these, or gives a status code
FAILURE_TEXTS = _phrases("""
    undeliver | not be delivered | not delivered | wasn't delivered | couldn't be delivered | could not deliver |
    can not deliver | cannot deliver | can't deliver | couldn't deliver | unable to deliver | unable to send |
    delivery fail | delivery to the following | delivery error | delivery has failed | delivery attempt |
    fatal error | permanent error | permanent fail | failed permanently | did not reach | not reach | postponed |
    did not receive | not yet been delivered | has not been delivered | has been delayed | is delayed |
    delivery is delayed | was delayed | was not delivered | has been returned | been returned | is being returned |
    returned to sender | returned to you | problem delivering | problems delivering | delivery problem |
    user unknown | unknown user | mailbox is full | mailbox full | over quota | could not be sent |
    error was detected while processing | encountered an error | following addresses failed | following recipients |
    following recipient | following address | transcript of session | error transcript | failed recipient |
    error-for: | final-recipient: | exceeds allowed size | no valid recipients | permission to post |
    not allowed to post |
    no fue posible entregar | no pudo entregarse | no se entregó | buzón está lleno | 配信に失敗 | 配送できません |
    送信できませんでした | message rejected | has been rejected | was rejected | been blocked |
    no se pudo entregar | no se ha podido entregar | no pudo ser entregado | kunde inte levereras |
    nicht zugestellt | konnte nicht | n'a pas pu être | n'a pu être | impossibile | non è stato recapitato |
    não pôde ser entregue | nao pode ser | kunne ikke leveres | ei voitu toimittaa | 届けられません |
    届けできません | 送信できません |
    配信できません | 配信されません | エラー | 不明 | 退信 | 无法
""")
DELAY_TEXTS = _phrases("""
    has not yet been delivered | not yet been delivered | not been delivered yet | has been delayed | is delayed |
    delivery is delayed | delivery delay | was delayed | delayed mail | (delay) | will continue to attempt |
    will continue to try | attempts will continue | has been postponed | delivery warning | will keep trying |
    will be retried | still being retried | will try again | will retry | warning message only |
    this is just a warning | this is a warning | could not send message for past | do not need to resend |
    not need to resend | not required to take any action | no action is required | has been queued |
    will continue trying | försenad | retrasad | verzögert | retardé
""")
GAVE_UP_TEXTS = _phrases("""
    giving up | given up | gave up | failed permanently | permanent error | permanent fail | permanent fatal |
    has been removed from the | will not be retried | not be retried | unable to deliver this message |
    won't keep trying | returned to sender | unzustellbar
""")
PERMANENT_TEXTS = _phrases("""
    permanent | unrecoverable | fatal error | not be retried
""")
TRANSIENT_TEXTS = _phrases("""
    temporar | transient | persistent transient | warning:
""")
DELIVERED_TEXTS = _phrases("""
    successfully delivered | was successful | has been delivered | delivered successfully |
    successful mail delivery | (success) | (relay) | successfully relayed
""")

# A line of dashes (or one that ends with a colon) with one of these: the returned message follows
COPY_PHRASES = _phrases("""
    copy of the message | copy of your message | copy of the original | original message | original mail |
    original e-mail | original email | mail follows | message follow | header of the | headers of the |
    headers follow | header follow | message header | returned message | returned mail | unsent message |
    undelivered message | forwarded message | body of your message | mensaje original | mensagem original |
    messaggio originale | ursprüngliche nachricht | message d'origine | message original | end of message |
    originalmeddelande | 元のメール
""")

# Words right before an address that is the failed one: the last word, or how the words end
RECIPIENT_WORDS = _phrases("""
    recipient: | recipients: | recipient | recipient(s): | addressee: | error-for: | failed: | destination: |
    mailbox | user | user: | account | destinatario: | destinatário: | destinataire: | empfänger: | mottagare: |
    宛先: | for | address: | address | addresses:
""")
RECIPIENT_ENDS = _phrases("""
    [smtp: |
    rcpt to: | failed address: | deliver to | deliver to: | delivered to | delivered to: | deliver message to |
    deliver mail to | message for | your message to | your mail to | email to | mail to | mailbox for | mailbox of |
    mailbox is full: | unknown user: | user unknown: | destinataire : | sent to | sent to: |
    to the following address: | violation for
""")
TO_ENDS = ("to:", "to", "to :", "an:", "para:", "a:", "till:")  # weaker: a report may repeat the returned mail's To
TRIED_ENDS = ("tried to contact", "tried to reach")  # asked before the next, where "contact" is a help desk's address
# Words right before an address that is somebody else's
OTHER_WORDS = _phrases("""
    from | by | at | e-mail
""")
OTHER_ENDS = _phrases("""
    from: | from : | from= | from address | from address: | mail from: | sender: | sender | sender's |
    envelope-from | reply-to: | return-path: | message-id: | message id: | id: | msgid= | references: |
    in-reply-to: | contact | contact: | email us at | email: | cc: | mailto: | http:// | https:// | von: | de: |
    de : | da: | dal: | från: | x-envelope-from: | errors-to: | list- | // | write to | please send | forward to |
    forwarded from | expanded from | expanded from:
""")
# What a server says of the sender: an address in these words is not a recipient that failed
SENDER_TEXTS = _phrases("""
    sender address rejected | sender rejected | sender domain | sender verify failed | in reply to mail from |
    mail from command | mail from:
""")
CONTACT_WORDS = _phrases("""
    contact | please send | for help | assistance | questions | support | report this | helpdesk | help desk |
    please forward | kontakt | contacte | contactez | postmaster
""")
VERSION_WORDS = ("version ", "release ", "build ", "exim ", "postfix ", "sendmail ", "v", "v.", "ver. ", "ver ")
