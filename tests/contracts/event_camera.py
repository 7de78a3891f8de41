"""A camera that has events and no head, for what ipycam has not: device, media and event service.

Its messages have the form of the ONVIF Core Specification: notifications as in its example of a
PullMessagesResponse (9.12.6 in the edition of 2.4: `tns1:RuleEngine/LineDetector/Crossed` of
`MyImportantFence1`), the topic set as in its example of GetEventPropertiesResponse (9.12.2), states
as in the Imaging Service Specification's `tns1:VideoSource/MotionAlarm`. They are checked by the
client's own reading of the official WSDL.
"""

import http.server
import queue
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from drivers.onvif.operations import NAMESPACES

ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"
  xmlns:wsa="http://www.w3.org/2005/08/addressing" xmlns:wsnt="http://docs.oasis-open.org/wsn/b-2"
  xmlns:wstop="http://docs.oasis-open.org/wsn/t-1" xmlns:tt="http://www.onvif.org/ver10/schema"
  xmlns:tds="http://www.onvif.org/ver10/device/wsdl" xmlns:trt="http://www.onvif.org/ver10/media/wsdl"
  xmlns:tev="http://www.onvif.org/ver10/events/wsdl" xmlns:ter="http://www.onvif.org/ver10/error"
  xmlns:tns1="http://www.onvif.org/ver10/topics"><s:Body>{body}</s:Body></s:Envelope>"""

CLOCK_REPLY = """<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime>
<tt:DateTimeType>NTP</tt:DateTimeType><tt:DaylightSavings>false</tt:DaylightSavings><tt:UTCDateTime>
<tt:Time><tt:Hour>1</tt:Hour><tt:Minute>2</tt:Minute><tt:Second>3</tt:Second></tt:Time>
<tt:Date><tt:Year>2001</tt:Year><tt:Month>1</tt:Month><tt:Day>1</tt:Day></tt:Date>
</tt:UTCDateTime></tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>"""

DEVICE_REPLY = """<tds:GetDeviceInformationResponse><tds:Manufacturer>Bank &amp; Co</tds:Manufacturer>
<tds:Model>Dome 3</tds:Model><tds:FirmwareVersion>1</tds:FirmwareVersion>
<tds:SerialNumber>77</tds:SerialNumber><tds:HardwareId>1</tds:HardwareId>
</tds:GetDeviceInformationResponse>"""

PROFILES_REPLY = """<trt:GetProfilesResponse><trt:Profiles token="p1" fixed="true"><tt:Name>all</tt:Name>
<tt:VideoEncoderConfiguration token="e1"><tt:Name>e</tt:Name><tt:UseCount>1</tt:UseCount>
<tt:Encoding>{codec}</tt:Encoding>
<tt:Resolution><tt:Width>1280</tt:Width><tt:Height>720</tt:Height></tt:Resolution>
<tt:Quality>5</tt:Quality></tt:VideoEncoderConfiguration></trt:Profiles></trt:GetProfilesResponse>"""

STREAM_REPLY = """<trt:GetStreamUriResponse><trt:MediaUri>
<tt:Uri>rtsp://admin:secret@127.0.0.1:554/p1?x=1</tt:Uri>
<tt:InvalidAfterConnect>false</tt:InvalidAfterConnect>
<tt:InvalidAfterReboot>false</tt:InvalidAfterReboot><tt:Timeout>PT0S</tt:Timeout>
</trt:MediaUri></trt:GetStreamUriResponse>"""

TOPICS_REPLY = """<tev:GetEventPropertiesResponse>
<tev:TopicNamespaceLocation>http://www.onvif.org/onvif/ver10/topics/topicns.xml</tev:TopicNamespaceLocation>
<wsnt:FixedTopicSet>true</wsnt:FixedTopicSet>
<wstop:TopicSet>
<tns1:RuleEngine><LineDetector><Crossed wstop:topic="true"><tt:MessageDescription><tt:Source>
<tt:SimpleItemDescription Name="VideoSourceConfigurationToken" Type="tt:ReferenceToken"/>
</tt:Source></tt:MessageDescription></Crossed></LineDetector></tns1:RuleEngine>
<tns1:VideoSource><MotionAlarm wstop:topic="true"><tt:MessageDescription IsProperty="true"/>
</MotionAlarm></tns1:VideoSource>
</wstop:TopicSet>
<wsnt:TopicExpressionDialect>http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet</wsnt:TopicExpressionDialect>
<tev:MessageContentFilterDialect>http://www.onvif.org/ver10/tev/messageContentFilter/ItemFilter</tev:MessageContentFilterDialect>
<tev:MessageContentSchemaLocation>http://www.onvif.org/onvif/ver10/schema/onvif.xsd</tev:MessageContentSchemaLocation>
</tev:GetEventPropertiesResponse>"""

SUBSCRIBE_REPLY = """<tev:CreatePullPointSubscriptionResponse><tev:SubscriptionReference>
<wsa:Address>{url}/onvif/pull/{number}</wsa:Address></tev:SubscriptionReference>
<wsnt:CurrentTime>2001-01-01T01:02:03Z</wsnt:CurrentTime>
<wsnt:TerminationTime>2001-01-01T01:04:03Z</wsnt:TerminationTime>
</tev:CreatePullPointSubscriptionResponse>"""

PULL_REPLY = """<tev:PullMessagesResponse><tev:CurrentTime>2001-01-01T01:02:03Z</tev:CurrentTime>
<tev:TerminationTime>2001-01-01T01:04:03Z</tev:TerminationTime>{messages}
</tev:PullMessagesResponse>"""

CROSSED_NOTIFICATION = """<wsnt:NotificationMessage>
<wsnt:Topic Dialect="http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet">
tns1:RuleEngine/LineDetector/Crossed
</wsnt:Topic><wsnt:Message><tt:Message UtcTime="2008-10-10T12:24:57.321Z"><tt:Source>
<tt:SimpleItem Name="VideoSourceConfigurationToken" Value="1"/>
<tt:SimpleItem Name="VideoAnalyticsConfigurationToken" Value="2"/>
<tt:SimpleItem Value="MyImportantFence1" Name="Rule"/></tt:Source>
<tt:Data><tt:SimpleItem Name="ObjectId" Value="15"/></tt:Data></tt:Message></wsnt:Message>
</wsnt:NotificationMessage>"""

FAULT_REPLY = """<s:Fault><s:Code><s:Value>s:Receiver</s:Value><s:Subcode>
<s:Value>ter:ActionNotSupported</s:Value></s:Subcode></s:Code>
<s:Reason><s:Text xml:lang="en">Optional action not implemented</s:Text></s:Reason></s:Fault>"""


def motion_notification(state: str, operation: str = "Changed") -> str:
    """A `tns1:VideoSource/MotionAlarm`: Imaging Service Specification, chapter on events."""
    return f"""<wsnt:NotificationMessage>
<wsnt:Topic Dialect="http://www.onvif.org/ver10/tev/topicExpression/ConcreteSet">
tns1:VideoSource/MotionAlarm</wsnt:Topic><wsnt:Message>
<tt:Message UtcTime="2008-10-10T12:24:57.321Z" PropertyOperation="{operation}">
<tt:Source><tt:SimpleItem Name="Source" Value="1"/></tt:Source>
<tt:Data><tt:SimpleItem Name="State" Value="{state}"/></tt:Data></tt:Message>
</wsnt:Message></wsnt:NotificationMessage>"""


class FakeOnvifCamera:
    """Answers on 127.0.0.1. `messages` are pulled one by one; `requested` lists the operations."""

    def __init__(self, codec: str = "H264") -> None:
        self.codec = codec
        self.messages: queue.Queue[str] = queue.Queue()
        self.operations: list[str] = []
        self.subscriptions = 0
        self.has_forgotten_subscriptions = False
        """Whether it has forgotten its subscriptions, as after a restart."""
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status, body = camera.handle_request(text)
                reply = ENVELOPE.format(body=body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/soap+xml; charset=utf-8")
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def handle_request(self, text: str) -> tuple[HTTPStatus, str]:
        body = re.search(r"<(?:[\w-]+:)?Body>\s*<(?:[\w-]+:)?(\w+)", text)
        operation = body[1] if body else ""
        self.operations.append(operation)
        answers = {
            "GetSystemDateAndTime": CLOCK_REPLY,
            "GetServices": self._services_reply(),
            "GetDeviceInformation": DEVICE_REPLY,
            "GetScopes": "<tds:GetScopesResponse/>",
            "GetProfiles": PROFILES_REPLY.format(codec=self.codec),
            "GetStreamUri": STREAM_REPLY,
            "GetEventProperties": TOPICS_REPLY,
            "Unsubscribe": "<wsnt:UnsubscribeResponse/>",
        }
        if operation == "CreatePullPointSubscription":
            self.has_forgotten_subscriptions = False
            self.subscriptions += 1
            return HTTPStatus.OK, SUBSCRIBE_REPLY.format(url=self.url, number=self.subscriptions)
        if operation == "PullMessages" and not self.has_forgotten_subscriptions:
            return HTTPStatus.OK, PULL_REPLY.format(messages=self._next_messages(text))
        if operation in answers:
            return HTTPStatus.OK, answers[operation]
        return HTTPStatus.INTERNAL_SERVER_ERROR, FAULT_REPLY

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _next_messages(self, text: str) -> str:
        timeout_match = re.search(r"Timeout>PT([\d.]+)S<", text)
        try:
            return self.messages.get(timeout=float(timeout_match[1]) if timeout_match else 0)
        except queue.Empty:
            return ""

    def _services_reply(self) -> str:
        each = "".join(
            f"<tds:Service><tds:Namespace>{NAMESPACES[name]}</tds:Namespace>"
            f"<tds:XAddr>{self.url}/onvif/{name}</tds:XAddr><tds:Version><tt:Major>2</tt:Major>"
            "<tt:Minor>5</tt:Minor></tds:Version></tds:Service>"
            for name in ("devicemgmt", "media", "events")
        )
        return f"<tds:GetServicesResponse>{each}</tds:GetServicesResponse>"


@contextmanager
def running_event_camera(codec: str = "H264") -> Iterator[FakeOnvifCamera]:
    camera = FakeOnvifCamera(codec)
    try:
        yield camera
    finally:
        camera.close()
