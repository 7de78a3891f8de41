"""What can be commanded: a file for each verb, see `agent.control.command.Verb`."""
