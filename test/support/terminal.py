"""Runs a command at a terminal of its own and answers its questions: argv[1] is
a JSON list of [text that is waited for, what is typed then]. What the terminal
has shown goes to standard output, the exit code is the command's. `<echo PATTERN>` types
the last match of what was shown."""
import json
import os
import pty
import re
import select
import sys

answers = json.loads(sys.argv[1])
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
shown = b''
looked = 0
while select.select([terminal], [], [], 60)[0]:
    try:
        some = os.read(terminal, 65536)
    except OSError:
        break
    if not some:
        break
    shown += some
    while answers and (at := shown.find(answers[0][0].encode(), looked)) >= 0:
        looked = at + len(answers[0][0].encode())
        typed = re.sub(
            '<echo (.*)>',
            lambda echo: re.findall(echo[1], shown.decode())[-1],
            answers.pop(0)[1],
        )
        os.write(terminal, typed.encode())
sys.stdout.buffer.write(shown)
sys.stdout.flush()
if answers:
    sys.exit('never asked: %s' % answers[0][0])
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
