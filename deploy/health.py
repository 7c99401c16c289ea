"""Exit code 0 when the service in this container can serve requests; otherwise 1, with the reason."""

import os
import ssl
import sys
import urllib.error
import urllib.request

scheme = "https" if os.environ.get("EARWITNESS_TLS_CERTIFICATE") else "http"
url = f"{scheme}://127.0.0.1:{os.environ.get('EARWITNESS_PORT') or 4500}/ready"
# To ourselves; the certificate is for the name that others use.
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
try:
    with urllib.request.urlopen(url, context=context, timeout=4) as answer:  # of our own scheme
        print(answer.read().decode())
except urllib.error.HTTPError as error:
    sys.exit(error.read().decode())
except OSError as error:
    sys.exit(str(error))
