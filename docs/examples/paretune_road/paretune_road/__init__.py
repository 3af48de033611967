"""RoAd from PEFT as a method of paretune: `method` without torch, `tuner` with it."""
