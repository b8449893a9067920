"""HTTP as any service needs it: who may ask, how much and how long, and events sent as they come."""
