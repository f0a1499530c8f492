from hypothesis import settings

settings.register_profile("fuzz", derandomize=False)  # make fuzz
