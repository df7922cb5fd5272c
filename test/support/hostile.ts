/** Texts with which strangers try to forge lines, split answers, drive terminals or fool the eyes of who reads a log. */
export const HOSTILE: Readonly<Record<string, string>> = {
  'a line break and a line': 'gpt\r\nPOST /forged 200 backend=openai1',
  'a line feed': 'gpt\nERROR forged',
  'a carriage return': 'gpt\rERROR forged',
  'a header': 'gpt\r\nX-Evil: yes\r\n\r\nHTTP/1.1 200 OK',
  NUL: 'gpt\0ERROR forged',
  'a colour and a title (ESC)': 'gpt\u001b[31mred\u001b[2K\u001b]0;title\u0007',
  'a colour of one character less (CSI)': 'gpt\u009b31mred\u0090q\u009c',
  'a next line (NEL) and DEL': 'gpt\u0085ERROR forged\u007f\b\b',
  'line and paragraph separators': 'gpt\u2028ERROR forged\u2029ERROR forged',
  'text from right to left': 'gpt\u202e02.4-tpg\u2066x\u2069\u200f\u061c',
  'letters that nobody sees': 'g\u200bp\u200dt\ufeff\u00ad\u{e0067}\u2060',
  'half a letter': 'gpt\ud83d',
  'quotes and backslashes': 'gpt"\\" state="open" \' `',
  'more fields': 'gpt state=quarantined request=forged level=error',
  'what loggers and shells expand': '${jndi:ldap://127.0.0.1/a} %s %n %(x)s $(id) `id` {{7*7}}',
  markup: "<script>alert(1)</script>&quot;'>",
  'more than anybody reads': 'gpt-'.repeat(3000),
};

/** What may be in no line of a log: what ends lines, drives terminals or turns the order of letters; and halves of letters. */
export const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u;
