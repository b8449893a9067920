"""Learning from labels without looking ahead: splits, learners, calibration, evidence. Mathematics of arrays."""
