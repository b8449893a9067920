"""Jobs that produce artifacts: training, retraining, schedules.

May import everything but `dashboards`.
"""
