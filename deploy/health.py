"""Exit code 0 when the service in this container can serve requests; otherwise 1, with the reason."""

import os
import ssl
import sys
import urllib.error
import urllib.request

metrics = os.environ.get("EARWITNESS_METRICS_ADDRESS")
if os.environ.get("EARWITNESS_TLS_CLIENT_CA") and metrics:  # the service's own port asks us for a certificate
    url = f"http://127.0.0.1:{metrics.rpartition(':')[2]}/ready"
else:
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
