import com.rudderstack.sdk.java.analytics.RudderAnalytics;
import com.rudderstack.sdk.java.analytics.Callback;
import com.rudderstack.sdk.java.analytics.messages.AliasMessage;
import com.rudderstack.sdk.java.analytics.messages.GroupMessage;
import com.rudderstack.sdk.java.analytics.messages.IdentifyMessage;
import com.rudderstack.sdk.java.analytics.messages.Message;
import com.rudderstack.sdk.java.analytics.messages.MessageBuilder;
import com.rudderstack.sdk.java.analytics.messages.PageMessage;
import com.rudderstack.sdk.java.analytics.messages.ScreenMessage;
import com.rudderstack.sdk.java.analytics.messages.TrackMessage;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Sends one message of each type through com.rudderstack.sdk.java.analytics:analytics: java Rudder &lt;host&gt; &lt;write key&gt; &lt;user&gt;. */
public final class Rudder {
  public static void main(String[] arguments) throws InterruptedException {
    String host = arguments[0], writeKey = arguments[1], user = arguments[2];
    List<MessageBuilder<?, ?>> messages = List.of(
        IdentifyMessage.builder().userId(user).traits(Map.of("firstName", "Ada", "plan", "gold")),
        TrackMessage.builder("Order Completed").userId(user).properties(Map.of(
            "order_id", "order-" + user, "total", 12.5, "currency", "EUR",
            "products", List.of(Map.of("product_id", "p1", "quantity", 2, "price", 6.25)))),
        PageMessage.builder("Home").userId(user).properties(Map.of("url", "https://shop.example.com/")),
        ScreenMessage.builder("Start").userId(user),
        GroupMessage.builder("acme").userId(user).traits(Map.of("name", "Acme")),
        AliasMessage.builder("visitor-" + user).userId(user),
        TrackMessage.builder("Left").userId(user));

    CountDownLatch sent = new CountDownLatch(messages.size());
    RudderAnalytics analytics = RudderAnalytics.builder(writeKey).setDataPlaneUrl(host).callback(new Callback() {
      @Override
      public void success(Message message) {
        sent.countDown();
      }

      @Override
      public void failure(Message message, Throwable error) {
        error.printStackTrace();
        System.exit(1);
      }
    }).build();
    messages.forEach(analytics::enqueue);
    analytics.flush();
    boolean all = sent.await(30, TimeUnit.SECONDS);
    System.exit(all ? 0 : 2);
  }
}
