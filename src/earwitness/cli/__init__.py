"""Commands for people and scripts. No speech, model or gallery logic here: commands call the rooms below and print."""
