"""Notes: an app that people log in to, and that keeps their notes. llmkit lets them ask what they wrote."""

from __future__ import annotations

import os
import re

from flask import Flask, Response, abort, redirect, render_template, request, url_for
from flask_login import (
    LoginManager,
    UserMixin,
    current_user,
    login_required,
    login_user,
    logout_user,
)
from flask_sqlalchemy import SQLAlchemy
from llmkit_flask import LLMKit, get_client, stream_response  # added for llmkit
from werkzeug.security import check_password_hash, generate_password_hash

db = SQLAlchemy()
login = LoginManager()
login.login_view = "log_in"
llmkit = LLMKit()  # added for llmkit

SYSTEM = "Answer from the notes alone, in a few sentences. If they do not say it, say so."


class Person(UserMixin, db.Model):  # type: ignore[name-defined, misc]  # as Flask-SQLAlchemy makes it
    """Who writes notes."""

    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(80), unique=True, nullable=False)
    password = db.Column(db.String(255), nullable=False)


class Note(db.Model):  # type: ignore[name-defined, misc]
    """A note, which only its writer sees."""

    id = db.Column(db.Integer, primary_key=True)
    person_id = db.Column(db.ForeignKey(Person.id), nullable=False, index=True)
    text = db.Column(db.Text, nullable=False)


@login.user_loader
def load_person(key: str) -> Person | None:
    """Find who is logged in."""
    return db.session.get(Person, int(key))


def create_app(**config: object) -> Flask:
    """Make the app."""
    app = Flask(__name__)
    app.config.from_mapping(
        SECRET_KEY=os.environ.get("SECRET_KEY") or os.urandom(16).hex(),
        SQLALCHEMY_DATABASE_URI=os.environ.get("DATABASE_URL", "sqlite:///notes.db"),
        LLMKIT={"models": {"default": "anthropic:claude-haiku-4-5"}},  # added for llmkit
    )
    app.config.from_mapping(config)
    db.init_app(app)
    login.init_app(app)
    llmkit.init_app(app)  # added for llmkit: the rows of its calls go into the app's own database
    with app.app_context():
        db.create_all()
    app.add_url_rule("/", view_func=notes, methods=["GET", "POST"])
    app.add_url_rule("/login", view_func=log_in, methods=["GET", "POST"])
    app.add_url_rule("/logout", view_func=log_out, methods=["POST"])
    app.add_url_rule("/ask", view_func=ask, methods=["POST"])
    return app


@login_required
def notes() -> str | Response:
    """Show the notes, and take a new one."""
    if request.method == "POST":
        text = request.form["text"].strip()
        if text:
            db.session.add(Note(person_id=current_user.id, text=text))
            db.session.commit()
        return redirect(url_for("notes"))  # type: ignore[return-value]
    return render_template("notes.html", notes=_notes())


@login_required
def ask() -> Response:
    """Answer a question from the notes. Added for llmkit."""
    question = request.get_json()["messages"][-1]["content"]
    written = "\n".join(f"- {note.text}" for note in _notes()) or "There are no notes yet."
    stream = get_client().stream(
        f"Notes:\n{written}\n\nQuestion: {question}", system=SYSTEM, user=current_user.get_id()
    )
    return stream_response(request, stream)


def log_in() -> str | Response:
    """Log in, or become somebody new."""
    if request.method == "GET":
        return render_template("login.html", wrong=False)
    name, password = request.form["name"].strip(), request.form["password"]
    if not name or not password:
        abort(400)
    person = db.session.scalar(db.select(Person).filter_by(name=name))
    if person is None:
        person = Person(name=name, password=generate_password_hash(password))
        db.session.add(person)
        db.session.commit()
    elif not check_password_hash(person.password, password):
        return render_template("login.html", wrong=True)
    login_user(person)
    came_from = request.args.get("next", "")
    is_ours = re.match(r"/(?![/\\])", came_from)  # a path of this app, and no other site
    return redirect(came_from if is_ours else url_for("notes"))  # type: ignore[return-value]


@login_required
def log_out() -> Response:
    """Log out."""
    logout_user()
    return redirect(url_for("log_in"))  # type: ignore[return-value]


def _notes() -> list[Note]:
    found = db.session.scalars(db.select(Note).filter_by(person_id=current_user.id))
    return list(found)
