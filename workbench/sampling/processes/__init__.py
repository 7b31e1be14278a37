"""Made-up sources of tokens whose beliefs and next-token distributions are known exactly."""
