"""Tools: functions of the app's that a model may call."""
