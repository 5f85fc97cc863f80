"""The app through its front door, over real sockets to the mock platform and the emulated AWS."""
