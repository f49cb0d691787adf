"""Messages about runs to the channels of the manifest's key ``notify``.

The coordinator's thread only writes a small file for each message and channel, the outbox. One thread for
each channel sends them, so a slow receiver delays neither the run nor another channel.
"""
