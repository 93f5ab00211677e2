"""What invented people are made of: names, mailboxes in reserved domains, fictional numbers.

Only characters that every supported Python's Unicode knows, so that the log is the same everywhere.
"""
# ruff: noqa: RUF001 - letters that look alike are what the log is about

# Given names and family names that go together; the last value says whether the family name comes first.
CULTURES = (
    (("Ann", "Mary-Jane", "D’Arcy", "Zoë"), ("Lee", "O'Neill", "Fitz-Gerald", "St. John"), False),
    (("Jürgen", "Käthe", "Weiß", "Anneliese"), ("Groß", "Strauß-Müller", "von der Höhe", "Özdemir"), False),
    (("İpek", "Işıl", "Çağrı", "Iğdır"), ("Yılmaz", "Kaya", "Şahin", "İnan"), False),
    (("Łukasz", "Bożena", "Jiří", "Žofie"), ("Żółć", "Wiśniewska", "Dvořák", "Čermák"), False),
    (("Amélie", "Chloé", "José María", "Núria"), ("Œuvrard", "Lefèvre", "Ñáñez", "Puig i Cadafalch"), False),
    (("Søren", "Ólafur", "Åse", "Þóra"), ("Ærø", "Björnsdóttir", "Ångström", "Næss"), False),
    (("Ελένη", "Γιώργος", "Οδυσσεύς", "Ζωή"), ("Παπαδοπούλου", "Λάσκαρης", "Βασιλειάδης", "Δήμος"), False),
    (("Алёна", "Дмитрий", "Оксана", "Їжак"), ("Ёлкина", "Щукин", "Ґудзь", "Соловйова"), False),
    (("ნინო", "გიორგი", "Անի", "Արամ"), ("ბერიძე", "მაისურაძე", "Սարգսյան", "Պետրոսյան"), False),
    (("ליאור", "נועה", "ليلى", "یاسمن"), ("כהן", "לוי", "حدّاد", "رضایی"), False),
    (("आशा", "क़मर", "அனிதா", "নীলা"), ("शर्मा", "ज़ैदी", "குமார்", "ঘোষ"), False),
    (("สมชาย", "พิมพ์", "ሰላም", "ဇော်"), ("ใจดี", "ศรีสุข", "ተስፋዬ", "မြင့်"), False),
    (("小明", "娜", "花子", "さくら"), ("王", "李", "田中", "髙橋"), True),
    (("ハナコ", "ﾀﾛｳ", "민준", "서연"), ("ヤマダ", "ｶﾞﾝﾀﾞ", "김", "박"), True),
    (("Văn An", "Thị Hường", "Đức", "Ngọc"), ("Nguyễn", "Trần", "Đặng", "Lê"), True),
    (("Ngozi", "Ọláyínká", "Kapiʻolani", "ǃGaro"), ("Okọ́nkwọ", "Adébáyọ̀", "Kāne", "ǂOma"), False),
    (("Ｗｅｎｄｙ", "ﬁona", "Ⅷ", "A̧nn̈a"), ("Ｏ’Ｈａｒａ", "ﬂynn", "Ĳsselstein", "ǅemal"), False),
)
NICKNAMES = (
    "🦊",
    "👩‍🚀",
    "k8",
    "the one & only",
    "Ünal★",
    "ಠ_ಠ",
    "~ sun ~",
    "ＤＪ Ｏｗｌ",
    "🏳️‍🌈",
    "мурка",
    "ß",
    "x",
)
MAILBOXES = (
    "ann",
    "post",
    "m.k",
    "sunny-day",
    "größe",
    "δelta",
    "日本",
    "o'neill",
    "reader+news",
    "IRIS",
    "ж",
)
MAIL_DOMAINS = ("example.com", "example.org", "example.net", "mail.example", "bücher.example")
# Numbers that are set aside for fiction: country code, then the parts as people write them.
PHONE_RANGES = (
    ("1", "212", "555", "01##"),
    ("1", "415", "555", "01##"),
    ("44", "7700", "900###"),
    ("44", "20", "7946", "0###"),
    ("49", "30", "23125", "###"),
    ("33", "6", "39 98", "## ##"),
    ("61", "2", "5550", "####"),
)
PHONE_STYLES = (
    "+{0}{1}",
    "00{0}{1}",
    "+{0} ({1}",
    "+{0}-{1}",
    "00 {0} / {1}",
    "+ {0}.{1}",
    "＋{0} {1}",
    " +{0} {1} ",
)
CHANNELS = ("web", "web", "whatsapp", "email", "phone", "kiosk", "app")
ISSUERS = ("oauth|", "saml|partner.example|", "sso:", "device#")
# What a guest shows, and keeps showing; how often.
GUESTS = (
    (("name", "email"), 9),
    (("email",), 5),
    (("phone", "nickname"), 5),
    (("name", "phone"), 5),
    (("name", "email", "phone", "nickname"), 3),
    (("nickname",), 2),
    (("name",), 1),
)
# The first people of the log. Each is somebody else, though only a careful service sees it.
LOOKALIKES: tuple[dict[str, str], ...] = (
    {"name": "Işık Demir"}, {"name": "Işik Demir"},
    {"name": "Ann Marie Lee"}, {"name": "Annmarie Lee"}, {"name": "Ann-Marie Lee"},
    {"name": "Sam Ash"}, {"nickname": "Sam Ash"}, {"name": "Sam", "nickname": "Ash"}, {"name": "SamAsh"},
    {"phone": "+1 212 555 0100"}, {"phone": "1 212 555 0100"}, {"phone": "212 555 0100"},
    {"email": "ann.lee@example.com"}, {"email": "annlee@example.com"}, {"email": "ann.lee@example.net"},
    {"name": "Иван Сорока"}, {"name": "Ивaн Сорока"}, {"name": "Rene Noel"}, {"name": "René Noël"},
    {"name": "Kim Doe", "email": "kim@example.org"}, {"name": "Kim Doe", "phone": "+447700900999"},
    {"fingerprint": "oauth|ab12", "name": "Kim Doe", "email": "kim@example.org"},
    {"fingerprint": "oauth|AB12", "name": "Kim Doe", "email": "kim@example.org"},
    {"fingerprint": "sso:Zo\u00eb"}, {"fingerprint": "sso:Zoe\u0308"},
)  # fmt: skip
