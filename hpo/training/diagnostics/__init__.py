"""What goes on inside a network while it trains, and before: measured on copies, so that no trial is changed by it."""
