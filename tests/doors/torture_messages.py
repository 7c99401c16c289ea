"""RFC 4475's torture messages, from its text (section 3), without the long bodies of some.

Each with what a recording server does: None: it is read; a status: it is refused with it.
"""

SDP = (
    "v=0\r\no=mhandley 29739 7272939 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
    "m=audio 49217 RTP/AVP 0 12\r\nm=video 3227 RTP/AVP 31\r\na=rtpmap:31 LPC\r\n"
)


def message(text: str, body: str = "") -> bytes:
    head = text.strip("\n").replace("\n", "\r\n").replace("LENGTH", str(len(body)))
    return f"{head}\r\n\r\n{body}".encode()


_WSINV = r"""
INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0
TO :
 sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n
from   : "J Rosenberg \\\""       <sip:jdrosen@example.com>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: wsinv.ndaksdj@192.0.2.1
Content-Length   : LENGTH
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.2;branch=390skdjuw
s :
NewFangledHeader:   newfangled value
 continued newfangled value
UnknownHeaderWithUnusualValue: ;;,,;;,;
Content-Type: application/sdp
Route:
 <sip:services.example.com;lr;unknownwith=value;unknown-no-value>
v:  SIP  / 2.0  / TCP     spindle.example.com   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
m:"Quoted string \"\"" <sip:jdrosen@example.com> ; newparam =
      newvalue ;
  secondparam ; q = 0.33
"""
_INTMETH = """
!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0
Via: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~
To: "BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com>
From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%="работающий";tag=_token~1'+`*%!-.
Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/"][?}{
CSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~
Max-Forwards: 255
extensionHeader-!.%*+_`'~:大停電
Content-Length: 0
"""  # noqa: E501
_ESC01 = """
INVITE sip:sips%3Auser%40example.com@example.net SIP/2.0
To: sip:%75se%72@example.com
From: <sip:I%20have%20spaces@example.net>;tag=938
Max-Forwards: 87
i: esc01.239409asdfakjkn23onasd0-3234
CSeq: 234234 INVITE
Via: SIP/2.0/UDP host5.example.net;branch=z9hG4bKkdjuw
C: application/sdp
Contact:
  <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>
Content-Length: LENGTH
"""
_ESCNULL = """
REGISTER sip:example.com SIP/2.0
To: sip:null-%00-null@example.com
From: sip:null-%00-null@example.com;tag=839923423
Max-Forwards: 70
Call-ID: escnull.39203ndfvkjdasfkq3w4otrq0adsfdfnavd
CSeq: 14398234 REGISTER
Via: SIP/2.0/UDP host5.example.com;branch=z9hG4bKkdjuw
Contact: <sip:%00@host5.example.com>
Contact: <sip:%00%00@host5.example.com>
L:0
"""
_ESC02 = """
RE%47IST%45R sip:registrar.example.com SIP/2.0
To: "%Z%45" <sip:resource@example.com>
From: "%Z%45" <sip:resource@example.com>;tag=f232jadfj23
Call-ID: esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf
Via: SIP/2.0/TCP host.example.com;branch=z9hG4bK209%fzsnel234
CSeq: 29344 RE%47IST%45R
Max-Forwards: 70
Contact: <sip:alias1@host1.example.com>
C%6Fntact: <sip:alias2@host2.example.com>
Contact: <sip:alias3@host3.example.com>
l: 0
"""
_LWSDISP = """
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: caller<sip:caller@example.com>;tag=323
Max-Forwards: 70
Call-ID: lwsdisp.1234abcd@funky.example.com
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP funky.example.com;branch=z9hG4bKkdjuw
l: 0
"""
_LONGREQ = f"""
INVITE sip:user@example.com SIP/2.0
To: "I have a user name of {"extreme" * 10} proportion"<sip:user@example.com:6000;unknownparam1={"very" * 20}longvalue;longparam{"name" * 25}=shortvalue;{"very" * 30}long{"Parameter" * 2}NameWithNoValue>
F: sip:{"amazinglylongcallername" * 5}@example.net;tag=12{"982" * 50}424;unknownheaderparam{"name" * 20}=unknowheaderparam{"value" * 15};unknownValueless{"paramname" * 10}
Call-ID: longreq.one{"really" * 20}longcallid
CSeq: 3882340 INVITE
Unknown-{"Long" * 20}-Name: unknown-{"long" * 20}-value; unknown-{"long" * 20}-parameter-name = unknown-{"long" * 20}-parameter-value
Via: SIP/2.0/TCP sip33.example.com
v: SIP/2.0/TCP sip32.example.com
V: SIP/2.0/TCP sip31.example.com
Via: SIP/2.0/TCP host.example.com;received=192.0.2.5;branch=ver{"y" * 200}longbranchvalue
Max-Forwards: 70
Contact: <sip:{"amazinglylongcallername" * 5}@host5.example.net>
Content-Type: application/sdp
l: LENGTH
"""  # noqa: E501
_SEMIURI = """
OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0
To: sip:j_user@example.com
From: sip:caller@example.org;tag=33242
Max-Forwards: 3
Call-ID: semiuri.0ha0isndaksdj
CSeq: 8 OPTIONS
Accept: application/sdp, application/pkcs7-mime,
        multipart/mixed, multipart/signed,
        message/sip, message/sipfrag
Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkdjuw
l: 0
"""
_TRANSPORTS = """
OPTIONS sip:user@example.com SIP/2.0
To: sip:user@example.com
From: <sip:caller@example.com>;tag=323
Max-Forwards: 70
Call-ID:  transports.kijh4akdnaqjkwendsasfdj
Accept: application/sdp
CSeq: 60 OPTIONS
Via: SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw
Via: SIP/2.0/SCTP t2.example.com;branch=z9hG4bKklasjdhf
Via: SIP/2.0/TLS t3.example.com;branch=z9hG4bK2980unddj
Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en
Via: SIP/2.0/TCP t5.example.com;branch=z9hG4bK0a9idfnee
l: 0
"""
_BADINV01 = """
INVITE sip:user@example.com SIP/2.0
To: sip:j.user@example.com
From: sip:caller@example.net;tag=134161461246
Max-Forwards: 7
Call-ID: badinv01.0ha0isndaksdjasdf3234nas
CSeq: 8 INVITE
Via: SIP/2.0/UDP 192.0.2.15;;,;,,
Contact: "Joe" <sip:joe@example.org>;;;;
Content-Length: LENGTH
Content-Type: application/sdp
"""
_CLERR = """
INVITE sip:user@example.com SIP/2.0
Max-Forwards: 80
To: sip:j.user@example.com
From: sip:caller@example.net;tag=93942939o2
Contact: <sip:caller@hungry.example.net>
Call-ID: clerr.0ha0isndaksdjweiafasdk3
CSeq: 8 INVITE
Via: SIP/2.0/UDP host5.example.com;branch=z9hG4bK-39234-23523
Content-Type: application/sdp
Content-Length: 9999
"""
_NCL = """
INVITE sip:user@example.com SIP/2.0
Max-Forwards: 254
To: sip:j.user@example.com
From: sip:caller@example.net;tag=32394234
Call-ID: ncl.0ha0isndaksdj2193423r542w35
CSeq: 0 INVITE
Via: SIP/2.0/UDP 192.0.2.53;branch=z9hG4bKkdjuw
Contact: <sip:caller@example53.example.net>
Content-Type: application/sdp
Content-Length: -999
"""
_SCALAR02 = """
REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/TCP host129.example.com;branch=z9hG4bK342sdfoi3
To: <sip:user@example.com>
From: <sip:user@example.com>;tag=239232jh3
CSeq: 36893488147419103232 REGISTER
Call-ID: scalar02.23o0pd9vanlq3wnrlnewofjas9ui32
Max-Forwards: 300
Expires: 10000000000000000000000000000000000000000
Contact: <sip:user@host129.example.com>
  ;expires=280297596632815
Content-Length: 0
"""
_QUOTBAL = """
INVITE sip:user@example.com SIP/2.0
To: "Mr. J. User <sip:j.user@example.com>
From: sip:caller@example.net;tag=93334
Max-Forwards: 10
Call-ID: quotbal.aksdj
Contact: <sip:caller@host59.example.net>
CSeq: 8 INVITE
Via: SIP/2.0/UDP 192.0.2.59:5050;branch=z9hG4bKkdjuw39234
Content-Type: application/sdp
Content-Length: LENGTH
"""
_INVITE = """
INVITE {uri} SIP/2.0
To: sip:user@example.com
From: sip:caller@example.net;tag=39291
Max-Forwards: 23
Call-ID: {name}.1@192.0.2.5
CSeq: 1 INVITE
Via: SIP/2.0/UDP 192.0.2.5;branch=z9hG4bKkdjuw
Contact: <sip:caller@host5.example.net>
Content-Type: application/sdp
Content-Length: LENGTH
"""
_OPTIONS = """
{start}
Via: SIP/2.0/UDP host4.example.com:5060;branch=z9hG4bKkdju43234
Max-Forwards: 70
From: {sender};tag=433423
To: {receiver}
Call-ID: {name}.sdf0234n2nds0a099u23h3hnnw009cdkne3
Accept: application/sdp
CSeq: {sequence}
l: 0
"""


def options(name: str, **changes: str) -> bytes:
    given = {
        "start": "OPTIONS sip:user@example.com SIP/2.0",
        "sender": "sip:caller@example.org",
        "receiver": "sip:user@example.com",
        "sequence": "8 OPTIONS",
    }
    return message(_OPTIONS.format(name=name, **{**given, **changes}))


def invite(name: str, uri: str) -> bytes:
    return message(_INVITE.format(name=name, uri=uri), SDP)


_INSUF = """
INVITE sip:user@example.com SIP/2.0
CSeq: 193942 INVITE
Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bKkdj.insuf
Content-Type: application/sdp
l: LENGTH
"""
_MULTI01 = """
INVITE sip:user@company.com SIP/2.0
Contact: <sip:caller@host25.example.net>
Via: SIP/2.0/UDP 192.0.2.25;branch=z9hG4bKkdjuw
Max-Forwards: 70
CSeq: 5 INVITE
Call-ID: multi01.98asdh@192.0.2.1
CSeq: 59 INVITE
Call-ID: multi01.98asdh@192.0.2.2
From: sip:caller@example.com;tag=3413415
To: sip:user@example.com
To: sip:other@example.net
From: sip:caller@example.net;tag=2923420123
Content-Type: application/sdp
l: LENGTH
Contact: <sip:caller@host36.example.net>
Max-Forwards: 5
"""
_MCL01 = """
OPTIONS sip:user@example.com SIP/2.0
Via: SIP/2.0/UDP host5.example.net;branch=z9hG4bK293423
To: sip:user@example.com
From: sip:other@example.net;tag=3923942
Call-ID: mcl01.fhn2323orihawfdoa3o4r52o3irsdf
CSeq: 15932 OPTIONS
Content-Length: 13
Max-Forwards: 60
Content-Length: 5
Content-Type: text/plain

There's no way to know how many octets are supposed to be here.
"""
_BADVERS = """
OPTIONS sip:t.watson@example.org SIP/7.0
Via:     SIP/7.0/UDP c.example.com;branch=z9hG4bKkdjuw
Max-Forwards:     70
From:    A. Bell <sip:a.g.bell@example.com>;tag=qweoiqpe
To:      T. Watson <sip:t.watson@example.org>
Call-ID: badvers.31417@c.example.com
CSeq:    1 OPTIONS
l: 0
"""

REQUESTS: dict[str, tuple[bytes, int | None]] = {
    "wsinv": (message(_WSINV, SDP), None),
    "intmeth": (message(_INTMETH), None),
    "esc01": (message(_ESC01, SDP), None),
    "escnull": (message(_ESCNULL), None),
    "esc02": (message(_ESC02), None),
    "lwsdisp": (message(_LWSDISP), None),
    "longreq": (message(_LONGREQ, SDP), None),
    "dblreq": (message(_ESCNULL) + invite("dblreq", "sip:joe@example.com"), None),
    "semiuri": (message(_SEMIURI), None),
    "transports": (message(_TRANSPORTS), None),
    "badinv01": (message(_BADINV01, SDP), 400),
    "clerr": (message(_CLERR) + SDP.encode(), 400),
    "ncl": (message(_NCL) + SDP.encode(), 400),
    "scalar02": (message(_SCALAR02), 400),
    "quotbal": (message(_QUOTBAL, SDP), 400),
    "ltgtruri": (invite("ltgtruri", "<sip:user@example.com>"), 400),
    "lwsruri": (invite("lwsruri", "sip:user@example.com; lr"), 400),
    "lwsstart": (invite("lwsstart", " sip:user@example.com "), 400),
    "trws": (options("trws", start="OPTIONS sip:remote-target@example.com SIP/2.0  "), 400),
    "escruri": (invite("escruri", "sip:user@example.com?Route=%3Csip:example.com%3E"), 400),
    # Its Date has a time zone. Nothing here reads dates, and an element need not refuse what it does not read.
    "baddate": (
        invite("baddate", "sip:user@example.com").replace(b"CSeq:", b"Date: Fri, 01 Jan 2010 16:00:00 EST\r\nCSeq:"),
        None,
    ),
    "regbadct": (options("regbadct", receiver="sip:user@example.com?Route=%3Csip:sip.example.com%3E"), 400),
    "badaspec": (options("badaspec", receiver='"Watson, Thomas" < sip:t.watson@example.org >'), 400),
    "baddn": (options("baddn", sender="Bell, Alexander <sip:a.g.bell@example.com>"), 400),
    "badvers": (message(_BADVERS), 505),
    "mismatch01": (options("mismatch01", sequence="8 INVITE"), 400),
    "mismatch02": (options("mismatch02", start="NEWMETHOD sip:user@example.com SIP/2.0", sequence="8 INVITE"), 400),
    "badbranch": (options("badbranch").replace(b"z9hG4bKkdju43234", b"z9hG4bK"), None),
    "insuf": (message(_INSUF, SDP), 400),
    "unkscm": (options("unkscm", start="OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0"), 416),
    "novelsc": (options("novelsc", start="OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0"), 416),
    "unksm2": (options("unksm2", receiver="isbn:2983792873", sender="<http://www.example.com>"), None),
    "multi01": (message(_MULTI01, SDP), 400),
    "mcl01": (message(_MCL01), 400),
    # The final recipient answers, whatever is left of the hops.
    "zeromf": (options("zeromf").replace(b"Forwards: 70", b"Forwards: 0"), None),
    "inv2543": (invite("inv2543", "sip:UserB@example.com").replace(b";branch=z9hG4bKkdjuw", b""), None),
}
_ANSWER = """
{start}
Via: SIP/2.0/UDP 192.0.2.105;branch=z9hG4bKkdjuw
Call-ID: {name}.asdof3uj203asdnf3429uasdhfas3ehjasdfas9i
CSeq: {sequence} INVITE
From: <sip:user@example.com>;tag=39ansfi3
To: <sip:user@example.edu>;tag=902jndnke3
Content-Length: 0
Contact: <sip:user@host105.example.com>
"""


def response(name: str, start: str, sequence: int) -> bytes:
    return message(_ANSWER.format(name=name, start=start, sequence=sequence))


ANSWERS: dict[str, tuple[bytes, int | None]] = {
    "unreason": (response("unreason", "SIP/2.0 200 = 2**3 * 5**2 но сто девяносто", 3), 200),
    "noreason": (response("noreason", "SIP/2.0 100 ", 35), 100),
    "bcast": (response("bcast", "SIP/2.0 200 OK", 60), 200),
    "bigcode": (response("bigcode", "SIP/2.0 4294967301 better not break", 353), None),
    "scalarlg": (response("scalarlg", "SIP/2.0 503 Away", 9292394834772304023312), 503),
}
"""Each with its status; None: it is dropped. Whatever the last one has in its headers, nothing here asked for it."""
