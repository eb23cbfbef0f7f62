/*
 * A device with Eclipse Paho's C client: connects, publishes at each QoS, takes one command and
 * answers it.
 *
 *     paho_client URI 4|5 CA.pem TOKEN | paho_client URI 4|5 CA.pem CERT.pem KEY.pem
 */
#include <MQTTClient.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 30000 };

static const char requests[] = "v1/devices/me/rpc/request/+";

static void need(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "paho: %s failed\n", what);
        exit(1);
    }
}

static void connect_as(MQTTClient c, int version, char **argv, int argc)
{
    MQTTClient_connectOptions four = MQTTClient_connectOptions_initializer;
    MQTTClient_connectOptions five = MQTTClient_connectOptions_initializer5;
    MQTTClient_SSLOptions tls = MQTTClient_SSLOptions_initializer;
    MQTTClient_connectOptions o = version == 5 ? five : four;
    tls.trustStore = argv[3];
    tls.verify = 1;
    tls.enableServerCertAuth = 1;
    if (argc == 6) {
        tls.keyStore = argv[4];
        tls.privateKey = argv[5];
    } else {
        o.username = argv[4];
    }
    o.ssl = &tls;
    o.connectTimeout = PATIENCE_MS / 1000;
    if (version == 5) {
        o.MQTTVersion = MQTTVERSION_5;
        o.cleanstart = 1;
        MQTTResponse r = MQTTClient_connect5(c, &o, NULL, NULL);
        int code = r.reasonCode;
        MQTTResponse_free(r);
        need(code == MQTTREASONCODE_SUCCESS, "connect");
        return;
    }
    o.MQTTVersion = MQTTVERSION_3_1_1;
    o.cleansession = 1;
    need(MQTTClient_connect(c, &o) == MQTTCLIENT_SUCCESS, "connect");
}

static void publish(MQTTClient c, int version, const char *topic, const char *text, int qos)
{
    MQTTClient_message m = MQTTClient_message_initializer;
    MQTTClient_deliveryToken token = 0;
    char copy[256];
    (void)snprintf(copy, sizeof(copy), "%s", text);
    m.payload = copy;
    m.payloadlen = (int)strlen(copy);
    m.qos = qos;
    if (version == 5) {
        MQTTResponse r = MQTTClient_publishMessage5(c, topic, &m, &token);
        need(r.reasonCode == MQTTREASONCODE_SUCCESS, "publish");
        MQTTResponse_free(r);
    } else {
        need(MQTTClient_publishMessage(c, topic, &m, &token) == MQTTCLIENT_SUCCESS, "publish");
    }
    need(MQTTClient_waitForCompletion(c, token, PATIENCE_MS) == MQTTCLIENT_SUCCESS, "completion");
}

static void answer_one(MQTTClient c, int version)
{
    MQTTClient_message *m = NULL;
    char *topic = NULL;
    int topic_len = 0;
    char reply[128];
    if (version == 5) {
        MQTTResponse r = MQTTClient_subscribe5(c, requests, 1, NULL, NULL);
        need(r.reasonCode == MQTTREASONCODE_GRANTED_QOS_1, "subscribe");
        MQTTResponse_free(r);
    } else {
        need(MQTTClient_subscribe(c, requests, 1) == MQTTCLIENT_SUCCESS, "subscribe");
    }
    need(MQTTClient_receive(c, &topic, &topic_len, &m, PATIENCE_MS) == MQTTCLIENT_SUCCESS &&
             m != NULL,
         "receive");
    const char *number = strrchr(topic, '/') + 1;
    (void)snprintf(reply, sizeof(reply), "v1/devices/me/rpc/response/%s", number);
    printf("%.*s\n", m->payloadlen, (const char *)m->payload);
    publish(c, version, reply, "{\"by\":\"paho c\"}", 1);
    MQTTClient_freeMessage(&m);
    MQTTClient_free(topic);
}

int main(int argc, char **argv)
{
    MQTTClient c = NULL;
    MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
    need(argc == 5 || argc == 6, "usage");
    int version = argv[2][0] - '0';
    create.MQTTVersion = version == 5 ? MQTTVERSION_5 : MQTTVERSION_DEFAULT;
    need(MQTTClient_createWithOptions(&c, argv[1], "paho-c", MQTTCLIENT_PERSISTENCE_NONE, NULL,
                                      &create) == MQTTCLIENT_SUCCESS,
         "create");
    connect_as(c, version, argv, argc);
    for (int qos = 0; qos <= 2; qos++) {
        char text[64];
        (void)snprintf(text, sizeof(text), "{\"paho_c_%d_qos_%d\":1}", version, qos);
        publish(c, version, "v1/devices/me/telemetry", text, qos);
    }
    answer_one(c, version);
    if (version == 5) {
        need(MQTTClient_disconnect5(c, 1000, MQTTREASONCODE_SUCCESS, NULL) == MQTTCLIENT_SUCCESS,
             "disconnect");
    } else {
        need(MQTTClient_disconnect(c, 1000) == MQTTCLIENT_SUCCESS, "disconnect");
    }
    MQTTClient_destroy(&c);
    return 0;
}
