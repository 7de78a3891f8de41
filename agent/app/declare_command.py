"""Command `declare`: the public declaration as it is now. The box publishes it again, too."""

from collections.abc import Callable

from agent.commands.command import (
    CommandHandler,
    CommandProgressSink,
    CommandType,
    NoArguments,
    ValidCommand,
    always,
)
from agent.reporting.declaration.data import (
    DeclarationData,
    DeclaredCamera,
    DeclaredController,
    DeclaredPurposes,
)

COMMAND = CommandType(
    verb="declare",
    args=NoArguments,
    result=DeclarationData,
    summary="the public declaration as it is now",
    actions=("see",),
    describe=lambda _args: "the declaration",
    is_idempotent=always,
    examples=(NoArguments(),),
    result_examples=(
        DeclarationData(
            site="Bd Zerktouni",
            detects=("person", "bicycle", "car"),
            cameras=(
                DeclaredCamera(
                    name="north",
                    owner=None,
                    purpose=None,
                    viewers=None,
                    on_ptz_head=True,
                    detection=True,
                    recorded=True,
                    masked=True,
                    retention_h=72.0,
                    rules=4,
                    trusted_rules=3,
                ),
            ),
            event_retention_days=7.0,
            max_retention_days=90,
            recipients=("prefecture",),
            public_key="11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
            software="vigie 0.1.0",
            trusts_test_authority=False,
            commands_authenticated=True,
            controller=DeclaredController(
                name="Commune de Casablanca",
                contact="Place Mohammed V, Casablanca",
                purposes=DeclaredPurposes(
                    fr="Sécurité routière", ar="السلامة الطرقية", en="Road safety"
                ),
                cndp_receipt="D-VS-000/2026",
                rights_contact="donnees@casablanca.example",
                page="https://casablanca.example/cameras/pole-17",
            ),
        ),
    ),
)


class DeclareCommandHandler(CommandHandler):
    """Handles `declare`.

    `publish` has the retained declaration published again.
    """

    command = COMMAND

    def __init__(
        self, build_declaration: Callable[[], DeclarationData], publish: Callable[[], None]
    ) -> None:
        self._build_declaration = build_declaration
        self._publish = publish

    def run(self, command: ValidCommand, progress_sink: CommandProgressSink) -> DeclarationData:
        """Publish the declaration again, and return it."""
        self._publish()
        return self._build_declaration()
