"""Twenty conversations for the golden greedy answers: one per kind of request that the product is for.

Chosen so that both oracles, llama.cpp and the float32 reference, agree on the first COMPARED_TOKENS tokens: on about a
third of freely written conversations they do not (each differs from the other by its rounding), and such a conversation
says nothing about us. `make_golden_chat.py` refuses one that breaks the rule.
"""

COMPARED_TOKENS = 16


def _user(text):
    return [{"role": "user", "content": text}]


CHAT_PROMPTS = {
    "fact-formula": _user("What is the chemical formula of water?"),
    "fact-number": _user("At what temperature does water boil at sea level, in Celsius?"),
    "arithmetic": _user("Tom has 3 apples and buys 4 more. How many apples does he have?"),
    "list": _user("List the twelve months of the year in order."),
    "explain": _user("Explain photosynthesis to a child."),
    "code-python": _user("Write a Python function that returns the factorial of n."),
    "code-sql": _user("Write an SQL query that selects all rows from a table named users."),
    "code-multi-turn": [
        {"role": "user", "content": "Write a Python function that adds two numbers."},
        {"role": "assistant", "content": "```python\ndef add(a, b):\n    return a + b\n```"},
        {"role": "user", "content": "Now write one that multiplies them."},
    ],
    "translate": _user("Translate to English: Je m'appelle Marie et j'habite à Paris."),
    "extract": _user("Find the phone number in: Call us at 555-0134 between 9 and 5."),
    "classify": _user(
        'Classify this headline as sports, politics or science: "Home team wins the final in extra time"'
    ),
    "summarise": _user(
        "Summarise in one sentence: Bees visit flowers to collect nectar and pollen. While they move from flower to "
        "flower, pollen sticks to their bodies and fertilises other plants. Many crops depend on this work."
    ),
    "rewrite": _user("Rewrite in the past tense: I walk to school and eat an apple."),
    "email": _user("Write a short email to my boss, Mr. Smith, asking for a day off on Monday."),
    "unicode-emoji": _user("What does the emoji 🎉 usually mean? And 🙏?"),
    "unicode-cjk": _user("What does the Japanese word ありがとう mean in English?"),
    "unicode-greek": _user("What is the name of the Greek letter π and what is its value?"),
    "system-support": [
        {
            "role": "system",
            "content": "You are the support assistant of Blue Lamp, a shop for desk lamps. Orders arrive within "
            "5 working days. Returns are free for 30 days.",
        },
        {"role": "user", "content": "How long does delivery take?"},
    ],
    "system-json": [
        {"role": "system", "content": "You answer only with JSON."},
        {"role": "user", "content": "Give the name and age of a person called Ben who is 31."},
    ],
    "multi-turn-memory": [
        {"role": "user", "content": "My name is Carlos."},
        {"role": "assistant", "content": "Hello Carlos! How can I help you?"},
        {"role": "user", "content": "What is my name?"},
    ],
}
