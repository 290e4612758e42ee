/* Empty on purpose: librdkafka is built without curl, includes the header nevertheless, and uses nothing of it. */
