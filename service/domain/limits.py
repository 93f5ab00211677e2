"""Every limit of the interface, in one place. The .proto comments state the same numbers."""

from typing import Final

KIB: Final = 1024

NAME_CHARACTERS: Final = 256
NICKNAME_CHARACTERS: Final = 128
EMAIL_CHARACTERS: Final = 254
PHONE_CHARACTERS: Final = 32
DESCRIPTION_BYTES: Final = 4 * KIB
PREFERENCES_BYTES: Final = 32 * KIB
FINGERPRINT_BYTES: Final = 512
REQUEST_ID_CHARACTERS: Final = 128

METADATA_BYTES: Final = 32 * KIB
METADATA_LEVELS: Final = 16
METADATA_LEAVES: Final = 256
METADATA_KEY_BYTES: Final = 128
# Struct numbers are doubles: from here on whole numbers are no longer exact.
WHOLE_NUMBER_BOUND: Final = 2**53

FILTER_VALUES: Final = 100
FILTER_METADATA_TERMS: Final = 16

PAGE_SIZE_DEFAULT: Final = 100
PAGE_SIZE_MAX: Final = 1000
PAGE_BYTES: Final = 3 * KIB * KIB

BATCH_IDS: Final = 1000
BATCH_CONTACTS: Final = 500
PURGE_CONTACTS: Final = 1000
PURGE_SAMPLE_IDS: Final = 20

REQUEST_BYTES: Final = KIB * KIB
ERROR_DETAIL_BYTES: Final = 4 * KIB
EXPORT_MESSAGE_BYTES: Final = 256 * KIB
EXPORT_FIRST_MESSAGE_BYTES: Final = 16 * KIB

WATCH_HEARTBEAT_SECONDS: Final = 15.0
# Of all accounts together, for those who watch: a reconnection finds its place here for some time.
WATCH_KEPT_CHANGES: Final = 1000
WATCH_KEPT_BYTES: Final = 4 * KIB * KIB

DELETION_KEPT_DAYS: Final = 90
