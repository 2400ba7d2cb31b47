"""Sends a message as e-mail."""

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate

from ..settings import AlertsSettings
from .errors import SendError
from .message import Message, as_html, plain_text


def send_mail(options: AlertsSettings, address: str, message: Message, id_: str) -> None:
    """Send an e-mail.

    Args:
        options: the mail server.
        address: of the person.
        message: what it says.
        id_: of the message: servers and people see by it that it came twice.

    Raises:
        SendError: it is not sent.
    """
    domains = [each.strip().lower() for each in options.alerts_email_domains.split(",")]
    if any(domains) and address.rpartition("@")[2].lower() not in domains:
        raise SendError("its domain is not listed in ALERTS_EMAIL_DOMAINS", for_good=True)
    if options.smtp_host is None:
        raise SendError("there is no mail server: set SMTP_HOST")
    mail = _mail(options, address, message, id_)
    try:
        _send(options, options.smtp_host, mail)
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        raise SendError(f"refused: {_text(code, said)}", for_good=code >= 500) from error
    except smtplib.SMTPDataError as error:
        said = _text(error.smtp_code, error.smtp_error)
        raise SendError(f"refused: {said}", for_good=error.smtp_code >= 500) from error
    except smtplib.SMTPResponseException as error:
        said = _text(error.smtp_code, error.smtp_error)
        raise SendError(f"the mail server refuses: {said}") from error
    except (smtplib.SMTPException, OSError) as error:
        host = f"{options.smtp_host}:{options.smtp_port}"
        raise SendError(f"the mail server {host} cannot be used: {error}") from error


def _mail(options: AlertsSettings, address: str, message: Message, id_: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = f"Universe <{options.smtp_from}>"
    mail["To"] = address
    mail["Subject"] = message.subject
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{id_}@{options.smtp_from.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(plain_text(message))
    mail.add_alternative(as_html(message), subtype="html")
    return mail


def _send(options: AlertsSettings, host: str, mail: EmailMessage) -> None:
    timeout = options.alerts_timeout
    context = ssl.create_default_context()
    if options.smtp_security == "tls":
        server = smtplib.SMTP_SSL(host, options.smtp_port, timeout=timeout, context=context)
    else:
        server = smtplib.SMTP(host, options.smtp_port, timeout=timeout)
    with server:
        if options.smtp_security == "starttls":
            server.starttls(context=context)
        if options.smtp_user is not None:
            server.login(options.smtp_user, next(iter(options.smtp_password), ""))
        server.send_message(mail)


def _text(code: int, said: bytes | str) -> str:
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return f"{code} {' '.join(text.split())[:200]}"
